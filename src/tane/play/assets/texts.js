// What the page says, in English and Japanese: by the language of the browser, or as chosen.
"use strict";

const TEXTS = {
  en: {
    generate: "Generate", fill: "Fill in", label: "Classify", tokens: "Tokens", other: "日本語",
    prompt: "Beginning of the text (may be empty)", settings: "Settings", max_new_tokens: "New tokens, at most",
    temperature: "Temperature", top_k: "top-k (0: off)", top_p: "top-p (1: off)", seed: "Seed",
    repetition_penalty: "Repetition penalty", vary: "Another seed each time", greedy: "Always the likeliest token",
    go: "Generate", stop: "Stop", keys: "Ctrl + Enter", sentence: "A sentence", whole: "Whole words",
    click: "Click a word to hide it, or type [MASK] or ＿ in the sentence.", fills: "Fills", text: "Text",
    pair: "Second text", maybe: "Second text (may be empty)", choices: "Choices, one a line", classify: "Classify",
    look: "Colours change from token to token; a gap parts words. Point at a token, or use the arrow keys.",
    local: "This page is served by your own machine and talks to nothing else.",
    written: (n, s, r) => `${n} tokens · ${s} s · ${r} tokens/s`, eos: "the text ended", length: "length reached",
    stopped: "stopped", seeded: (n) => `seed ${n}`, waits: (n) => `waiting: ${n} before this`, works: "writing …",
    cut: (all, read) => `The prompt has ${all} tokens: only its last ${read} were read.`,
    cutFill: (n) => `The text has ${n} tokens, more than the model reads: only what stands around each mask was read.`,
    cutLabel: "The text is longer than the model reads: its end was cut off.", mask: (n) => `Mask ${n}`,
    hidden: (word) => `hidden: ${word}`, same: "the hidden word", none: "no label", value: "value",
    counted: (t, c) => `${t} tokens · ${c} characters`, token: (id, piece) => `token ${id}: ${piece}`,
    positions: (n) => `${n} positions`, parameters: (n) => `${n} parameters`, pieces: (n) => `${n} pieces`,
    noToken: "Open the address that tane printed when it started: it holds the token of this start.",
    gone: "No answer: has tane been stopped?", busy: "Too many requests are waiting: try again in a moment.",
    tooLong: "The text is too long.",
  },
  ja: {
    generate: "文章を書く", fill: "穴を埋める", label: "分類する", tokens: "トークン", other: "English",
    prompt: "文章の書き出し（空でもよい）", settings: "設定", max_new_tokens: "新しいトークンの上限",
    temperature: "温度", top_k: "top-k（0 で無効）", top_p: "top-p（1 で無効）", seed: "乱数の種",
    repetition_penalty: "繰り返しペナルティ", vary: "乱数の種を毎回変える", greedy: "常に最も確率の高いトークンを選ぶ",
    go: "書く", stop: "止める", keys: "Ctrl + Enter", sentence: "文", whole: "単語まるごと",
    click: "単語を押すと隠れます。文に [MASK] や ＿ と書いてもかまいません。", fills: "候補の数", text: "テキスト",
    pair: "二つ目のテキスト", maybe: "二つ目のテキスト（空でもよい）", choices: "選択肢（一行に一つ）",
    classify: "分類する",
    look: "色はトークンごとに変わり、すきまが単語の境です。トークンを指すか、矢印キーで動けます。",
    local: "このページはこの計算機だけで動き、ほかのどこにもつながりません。",
    written: (n, s, r) => `${n} トークン · ${s} 秒 · 毎秒 ${r} トークン`, eos: "文章が終わりました",
    length: "上限に達しました", stopped: "止めました", seeded: (n) => `乱数の種 ${n}`,
    waits: (n) => `順番待ち：前に ${n} 件`, works: "書いています…",
    cut: (all, read) => `書き出しは ${all} トークンあり、終わりの ${read} トークンだけを読みました。`,
    cutFill: (n) => `文は ${n} トークンあり、モデルの上限を超えるので、穴のまわりだけを読みました。`,
    cutLabel: "テキストがモデルの上限より長いので、終わりを切りました。", mask: (n) => `穴 ${n}`,
    hidden: (word) => `隠した語：${word}`, same: "隠した語", none: "ラベルなし", value: "値",
    counted: (t, c) => `${t} トークン · ${c} 文字`, token: (id, piece) => `トークン ${id}：${piece}`,
    positions: (n) => `最大 ${n} トークン`, parameters: (n) => `パラメータ ${n}`, pieces: (n) => `語彙 ${n}`,
    noToken: "tane が起動したときに表示したアドレスを開いてください。そこに今回のトークンが入っています。",
    gone: "応答がありません。tane は止まっていませんか。", busy: "順番待ちが多すぎます。少し待ってからもう一度どうぞ。",
    tooLong: "テキストが長すぎます。",
  },
};

let language = sessionStorage.getItem("tane-language") || (navigator.language.startsWith("ja") ? "ja" : "en");

// The text of a key in the language of the page.
const t = (key, ...given) => {
  const found = TEXTS[language][key];
  return typeof found === "function" ? found(...given) : found;
};

const figure = (n) => n.toLocaleString(language);
const percent = (p) => `${(100 * p).toFixed(1)} %`;
const joined = (...some) => some.filter(Boolean).join(" · ");
