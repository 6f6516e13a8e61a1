// The playground's page. Texts of models and users enter it as text alone (textContent), never as markup.
"use strict";

const KINDS = ["generate", "fill", "label", "tokens"];
const EXAMPLE = "秋には、赤い葉が木から落ちます。";
const NUMBERS = ["max_new_tokens", "temperature", "top_k", "top_p", "repetition_penalty"];

let models = [];
const redraw = new Map(); // what is shown again when the language changes, by its place

const able = (kind) => models.map((about, number) => ({ ...about, number }))
  .filter((about) => kind === "tokens" || about.does === kind);

// A column for each model that does this; with a heading where there are several models.
function columns(place, kind) {
  place.replaceChildren();
  return able(kind).map((about) => {
    const article = element("article", { className: "card" });
    if (models.length > 1) article.append(element("h2", { textContent: about.name }));
    place.append(article);
    return { about, article };
  });
}

// Show the answers of all models that do this, now and when the language changes.
function showAll(place, kind, answers, pictures) {
  const show = () => columns($(place), kind).forEach(({ article }, number) => {
    article.append(...pictures(answers[number]));
  });
  redraw.set(place, show);
  show();
}

// --------------------------------------------------------------------------------------- generating

let writing = null;

async function generate() {
  writing?.abort();
  const mine = (writing = new AbortController());
  if ($("vary").checked) $("seed").value = Math.floor(Math.random() * 1e6);
  const asked = { prompt: $("prompt").value, seed: Number($("seed").value), greedy: $("greedy").checked };
  for (const name of NUMBERS) asked[name] = Number($(name).value);
  fault(null);
  busy(true);
  const shown = columns($("written"), "generate").map(({ about, article }) => {
    const text = element("span");
    const log = element("p", { className: "text", role: "log", "aria-live": "polite" },
      element("span", { className: "given", textContent: asked.prompt }), text);
    const state = element("p", { className: "state" });
    article.append(log, state);
    return write(about, asked, text, state, mine.signal);
  });
  await Promise.all(shown);
  if (writing === mine) busy(false);
}

async function write(about, asked, text, state, signal) {
  const begin = performance.now();
  const seen = { tokens: 0, waiting: 0 };
  let done = null, failed = false;
  const tell = () => (state.textContent = failed ? "" : told(seen, done, asked));
  redraw.set(`written ${about.number}`, tell);
  try {
    const response = await ask("generate", { ...asked, model: about.number }, signal);
    for await (const event of lines(response)) {
      if (event.error) throw new Refused(joined(event.error, event.remedy));
      Object.assign(seen, { waiting: 0 }, event);
      if (event.text !== undefined) text.append(event.text);
      if (event.all !== undefined) text.textContent = event.all;
      if (event.done) text.textContent = (done = event.done).text;
      tell();
    }
  } catch (error) {
    failed = !signal.aborted;
    if (failed) fault(error);
    done = { end: "stopped", tokens: seen.tokens, seconds: (performance.now() - begin) / 1000 };
    tell();
  }
}

function told(seen, done, asked) {
  if (!done) return seen.waiting ? t("waits", seen.waiting) : t("works");
  const rate = done.seconds ? done.tokens / done.seconds : 0;
  const speed = t("written", done.tokens, done.seconds.toFixed(1), rate.toFixed(rate < 10 ? 1 : 0));
  const found = joined(speed, t(done.end), !asked.greedy && t("seeded", asked.seed));
  return found + (done.cut ? `\n${t("cut", figure(done.cut), figure(done.read))}` : "");
}

function busy(is) {
  $("stop").disabled = !is;
  $("generate").classList.toggle("busy", is);
}

function stop() {
  writing?.abort();
  busy(false);
}

// ------------------------------------------------------------------------------------------ filling

let parts = [];
const hidden = new Set(); // numbers of the parts that were clicked
const cutting = latest();
const filling = latest();

const cutWords = () => cutting(async (signal) => {
  const asked = { model: able("fill")[0].number, text: $("sentence").value };
  parts = (await (await ask("words", asked, signal)).json()).parts;
  hidden.clear();
  $("words").replaceChildren(...parts.map(part));
  await fill();
});

function part({ text, kind }, number) {
  if (kind === "space") return element("span", { className: "space", textContent: " " });
  if (kind === "mask") return element("span", { className: "word mask", textContent: text });
  const set = { type: "button", className: "word", textContent: text, "aria-pressed": "false" };
  const button = element("button", set);
  button.addEventListener("click", () => {
    if (!hidden.delete(number)) hidden.add(number);
    button.setAttribute("aria-pressed", String(hidden.has(number)));
    fill();
  });
  return button;
}

const fill = () => filling(async (signal) => {
  const masked = parts.map((one, number) => ({
    text: one.text, was: one.kind === "mask" ? "" : one.text, open: one.kind === "mask" || hidden.has(number),
  }));
  const masks = masked.filter((one) => one.open);
  fault(null);
  if (!masks.length) {
    redraw.delete("filled");
    return $("filled").replaceChildren();
  }
  const text = masked.map((one) => (one.open ? "[MASK]" : one.text)).join("");
  const asked = { text, top_k: Number($("fills").value), whole_word: $("whole").checked };
  const answers = await Promise.all(able("fill").map(async ({ number }) =>
    (await ask("fill", { ...asked, model: number }, signal)).json()));
  showAll("filled", "fill", answers, ({ fills, cut }) => [
    ...fills.flatMap((found, n) => oneMask(masks[n].was, found, n, masks.length)),
    ...(cut ? [note(t("cutFill", figure(cut)))] : []),
  ]);
});

function oneMask(was, fills, number, several) {
  const title = joined(several > 1 && t("mask", number + 1), was && t("hidden", was));
  const rows = fills.map((one) => {
    const same = was && one.token.replace(/^##/, "").trim() === was;
    return bar(one.token, one.score, same ? t("same") : "");
  });
  return [...(title ? [element("h3", { textContent: title })] : []), bars(rows)];
}

// A name, a bar and a share; remark: why this row stands out, if it does.
function bar(name, share, remark = "") {
  const inner = element("span", { className: "inner" });
  inner.style.width = `${Math.max(0.5, 100 * share)}%`;
  return element("li", { className: remark ? "same" : "", title: remark },
    element("span", { className: "name", textContent: name }),
    element("span", { className: "bar", "aria-hidden": "true" }, inner),
    element("span", { className: "share", textContent: percent(share) }));
}

const bars = (rows) => element("ol", { className: "bars" }, ...rows);

const note = (text) => element("p", { className: "state", textContent: text });

// --------------------------------------------------------------------------------------- classifying

const labelling = latest();

const classify = () => labelling(async (signal) => {
  const text = $("text").value, second = $("pair").value;
  fault(null);
  const answers = await Promise.all(able("label").map(async ({ number, texts, optional }) => {
    const asked = { model: number, text };
    if (texts === 3) asked.choices = second.split("\n").filter((line) => line.trim());
    else if (texts === 2 || (optional && second.trim())) asked.pair = second;
    return (await ask("label", asked, signal)).json();
  }));
  showAll("labelled", "label", answers, (one) => [...answered(one), ...(one.cut ? [note(t("cutLabel"))] : [])]);
});

function answered({ label, scores, words, answer }) {
  if (words) {
    const tagged = (word, n) => element("span", { className: (label[n] ?? "O") === "O" ? "tagged" : "tagged on" },
      element("span", { textContent: word }), element("small", { textContent: label[n] ?? "–" }));
    return [element("p", { className: "tags" }, ...words.map(tagged))];
  }
  const value = typeof label === "number" ? label.toFixed(3) : label;
  const name = Array.isArray(label) ? label.join(", ") : answer ?? value;
  const rows = Object.entries(scores).sort((a, b) => b[1] - a[1]).map(([one, p]) => bar(one, p));
  return [element("p", { className: "verdict", textContent: name || t("none") }), bars(rows)];
}

// -------------------------------------------------------------------------------------------- tokens

const looking = latest();

const look = () => looking(async (signal) => {
  const text = $("cut").value;
  fault(null);
  const answers = await Promise.all(able("tokens").map(async ({ number }) =>
    (await (await ask("tokens", { model: number, text }, signal)).json()).tokens));
  showAll("tokenized", "tokens", answers, (found) => {
    const detail = note(t("counted", figure(found.length), figure([...text].length)));
    detail.setAttribute("role", "status");
    return [cutUp(found, detail), detail];
  });
});

function cutUp(found, detail) {
  const place = element("div", { className: "tokens" });
  found.forEach(({ id, piece: plain, starts }, number) => {
    const piece = plain.replaceAll("\n", "\\n");
    if (starts || !number) place.append(element("span", { className: "group" }));
    const one = element("button", {
      type: "button", className: `token hue${number % 4}`, textContent: piece, title: String(id),
      tabIndex: number ? -1 : 0,
    });
    const tell = () => (detail.textContent = t("token", id, piece));
    one.addEventListener("focus", tell);
    one.addEventListener("mouseenter", tell);
    place.lastChild.append(one);
  });
  place.addEventListener("keydown", (event) => walk(event, [...place.querySelectorAll("button")]));
  return place;
}

// Arrow keys move along a row of which one element is reached by Tab.
function walk(event, row) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return null;
  event.preventDefault();
  const next = row[(row.indexOf(document.activeElement) + step + row.length) % row.length];
  row.forEach((one) => (one.tabIndex = one === next ? 0 : -1));
  next.focus();
  return next;
}

// ------------------------------------------------------------------------------------------ the page

function choose(kind) {
  for (const one of KINDS) {
    $(one).hidden = one !== kind;
    $(`tab-${one}`)?.setAttribute("aria-selected", String(one === kind));
    if ($(`tab-${one}`)) $(`tab-${one}`).tabIndex = one === kind ? 0 : -1;
  }
}

function translate() {
  document.documentElement.lang = language;
  document.querySelectorAll("[data-t]").forEach((one) => (one.textContent = t(one.dataset.t)));
  document.querySelectorAll("[role=tab]").forEach((one) => (one.textContent = t(one.id.slice(4))));
  $("language").textContent = t("other");
  $("language").lang = language === "ja" ? "en" : "ja";
  const second = models.find((about) => about.does === "label" && (about.texts > 1 || about.optional));
  $("second").hidden = !second;
  const named = { 1: "maybe", 2: "pair", 3: "choices" };
  if (second) $("second").firstElementChild.textContent = t(named[second.texts]);
  $("models").replaceChildren(...models.map(card));
  redraw.forEach((show) => show());
}

function card(about) {
  const facts = joined(about.family, t("parameters", figure(about.parameters)), t("pieces", figure(about.pieces)),
    about.positions && t("positions", figure(about.positions)));
  return element("span", { className: "model" }, element("b", { textContent: about.name }), ` ${facts}`);
}

function listen() {
  const submit = { generate, fill, label: classify, tokens: look };
  for (const kind of KINDS) {
    const form = $(kind).querySelector("form");
    form.addEventListener("submit", (event) => { event.preventDefault(); submit[kind](); });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      form.requestSubmit();
    });
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") stop(); });
  $("stop").addEventListener("click", stop);
  $("sentence").addEventListener("input", after(250, cutWords));
  const again = after(250, () => $("fills").checkValidity() && fill());
  for (const id of ["fills", "whole"]) $(id).addEventListener("input", again);
  $("cut").addEventListener("input", after(250, look));
  $("language").addEventListener("click", () => {
    language = language === "ja" ? "en" : "ja";
    sessionStorage.setItem("tane-language", language);
    translate();
  });
  $("tabs").addEventListener("keydown", (event) => {
    const next = walk(event, [...$("tabs").children]);
    if (next) choose(next.id.slice(4));
  });
}

async function start() {
  const address = new URL(location.href);
  token = address.searchParams.get("token") || sessionStorage.getItem("tane-token") || "";
  sessionStorage.setItem("tane-token", token); // of this tab alone, for when the page is loaded again
  history.replaceState(null, "", "/"); // the token shall not stand in the address bar or the history
  translate();
  listen();
  if (!token) return fault(new Refused(t("noToken")));
  try {
    models = (await (await ask("models", {})).json()).models;
  } catch (error) {
    return fault(error);
  }
  const kinds = KINDS.filter((kind) => able(kind).length);
  $("tabs").replaceChildren(...kinds.map((kind) => {
    const tab = element("button", { type: "button", id: `tab-${kind}`, role: "tab", "aria-controls": kind });
    tab.addEventListener("click", () => choose(kind));
    return tab;
  }));
  $("settings").open = innerWidth > 700;
  $("sentence").value = $("cut").value = EXAMPLE;
  choose(kinds[0]);
  translate();
  if (kinds.includes("fill")) cutWords();
  look();
}

start();
