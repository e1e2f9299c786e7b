/** The console: its frame, the view that the address names, the API key and the colours. */

import { ask, closeDialog } from "./dialogs.js";
import { button, failure, field, h, heading, loading, select } from "./dom.js";
import { guardDrops } from "./drop_zone.js";
import { text } from "./messages.js";
import { notices } from "./notices.js";
import { apiKey, call, isKey, keepApiKey } from "./service.js";
import { showClusters } from "./views/clusters.js";
import { showCollection } from "./views/collection.js";
import { showCollections } from "./views/collections.js";
import { showIdentify } from "./views/identify.js";
import { showModels } from "./views/models.js";
import { showPerson } from "./views/person.js";
import { showTry } from "./views/try.js";

const THEME = "facet-theme";
const START = "#/try/detect";

/** The views by the pattern of their addresses. Each gets its element, the parts of the address, and a signal. */
const ROUTES = [
  [/^#\/try\/(detect|landmarks|embed|verify)$/, showTry],
  [/^#\/identify(?:\/([^/]+))?$/, showIdentify],
  [/^#\/people$/, showCollections],
  [/^#\/people\/([^/]+)$/, showCollection],
  [/^#\/people\/([^/]+)\/([^/]+)$/, showPerson],
  [/^#\/clusters$/, showClusters],
  [/^#\/models$/, showModels],
];

const NAVIGATION = [
  ["#/try/detect", "nav.try"], ["#/identify", "nav.identify"], ["#/people", "nav.people"],
  ["#/clusters", "nav.clusters"], ["#/models", "nav.models"],
];

const links = NAVIGATION.map(([href, key]) => h("a", { href }, text(key)));
const keyButton = button(text("key.button"), askForKey, "quiet");
const state = h("span.state", { role: "status" });
const main = h("main", { id: "main", tabindex: "-1" });
let leaving = new AbortController();
let failed = false; // whether the view could not be shown

/** Show the view that the address names. */
async function show({ focus = true } = {}) {
  leaving.abort();
  failed = false;
  const { signal } = leaving = new AbortController();
  const [view, parameters] = viewOf(location.hash);
  const section = location.hash.split("/")[1];
  for (const link of links) {
    const here = link.getAttribute("href").split("/")[1] === section;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const root = h("div.view");
  main.replaceChildren(root);
  loading(root);
  try {
    await view(root, parameters, signal);
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    failed = true;
    const title = links.find(link => link.hasAttribute("aria-current"))?.textContent ?? text("nav.try");
    root.replaceChildren(heading(title), failure(error, () => show()));
  }
  if (focus && !signal.aborted) (root.querySelector("h1") || main).focus({ preventScroll: true });
}

function viewOf(address) {
  for (const [pattern, view] of ROUTES) {
    const match = pattern.exec(address);
    if (match) {
      const parts = decoded(match.slice(1));
      if (parts) return [view, parts];
    }
  }
  history.replaceState(null, "", START);
  return [showTry, ["detect"]];
}

function decoded(parts) {
  try {
    return parts.map(part => part && decodeURIComponent(part));
  } catch {
    return null; // a broken escape sequence
  }
}

/** Ask for the API key of this tab. */
async function askForKey() {
  if (document.querySelector("dialog[open]")) return;
  const input = h("input", { type: "password", name: "key", autocomplete: "off", spellcheck: "false", value: apiKey() });
  const changed = await ask({
    title: text("key.title"),
    body: [h("p", {}, text("key.about")), field(text("key.label"), input)],
    label: text("key.save"),
    submit: async form => {
      const before = apiKey(), key = form.get("key").trim();
      if (key && !isKey(key)) throw new Error(text("key.malformed"));
      keepApiKey(key);
      if (!key) return; // forgotten: there is nothing to try
      try {
        await call("GET", "version");
      } catch (error) {
        keepApiKey(before);
        throw error;
      }
    },
  });
  if (changed) show();
}

/** Follow whether the service is ready. */
async function followState() {
  let key = "state.unreachable";
  try {
    const { status } = await (await fetch("readyz")).json();
    key = status === "ready" || status === "degraded" ? `state.${status}` : "state.starting";
  } catch { /* it does not answer */ }
  if (state.dataset.key !== key) {
    state.dataset.key = key;
    state.textContent = text(key);
    if ((key === "state.ready" || key === "state.degraded") && failed) show({ focus: false }); // it has started meanwhile
  }
  setTimeout(followState, key === "state.ready" ? 15000 : 2000);
}

function colours() {
  const chosen = localStorage.getItem(THEME) || "auto";
  document.documentElement.dataset.theme = chosen;
  return select(["auto", "light", "dark"].map(name => [name, text(`theme.${name}`)]), chosen, {
    "aria-label": text("theme.label"),
    onchange: event => {
      localStorage.setItem(THEME, event.target.value);
      document.documentElement.dataset.theme = event.target.value;
    },
  });
}

document.body.replaceChildren(
  button(text("nav.skip"), () => main.focus(), "skip"),
  h("header.top", {},
    h("a.brand", { href: START }, h("img", { src: "console/icon.svg", alt: "", width: "26", height: "26" }), text("app.name")),
    h("nav", { "aria-label": text("nav.label") }, links),
    h("div.tools", {}, state, h("a", { href: "docs" }, text("nav.api")), keyButton, colours())),
  main,
  h("footer", {}, h("p", {}, text("app.privacy"))),
  ...notices());
guardDrops();
addEventListener("hashchange", () => {
  closeDialog();
  show();
});
document.addEventListener("facet:locked", askForKey);
show({ focus: false });
followState();
