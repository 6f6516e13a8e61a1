// Questions to the server, and the small pieces that the page is made of.
"use strict";

const $ = (id) => document.getElementById(id);
let token = "";

function element(tag, set = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(set)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

class Refused extends Error {}

async function ask(question, body, signal) {
  const headers = { "Content-Type": "application/json", "X-Tane-Token": token };
  const sent = { method: "POST", headers, body: JSON.stringify(body), signal };
  const response = await fetch(`/api/${question}`, sent);
  if (response.ok) return response;
  if (response.status === 403) throw new Refused(t("noToken"));
  if (response.status === 429) throw new Refused(t("busy"));
  if (response.status === 413) throw new Refused(t("tooLong"));
  const told = await response.json().catch(() => ({ error: `${response.status} ${response.statusText}` }));
  throw new Refused(joined(told.error, told.remedy));
}

async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const found = (rest + value).split("\n");
    rest = found.pop();
    for (const line of found) yield JSON.parse(line);
  }
}

// The latest question of a place counts: an earlier one that is still open is given up.
function latest() {
  let open = null;
  return async (work) => {
    open?.abort();
    const mine = (open = new AbortController());
    try {
      await work(mine.signal);
    } catch (error) {
      if (!mine.signal.aborted) fault(error);
    }
  };
}

function fault(error) {
  $("fault").hidden = !error;
  $("fault").textContent = !error ? "" : error instanceof Refused ? error.message : t("gone");
}

function after(milliseconds, work) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, milliseconds);
  };
}

