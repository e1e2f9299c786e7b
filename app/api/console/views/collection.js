/** The people of a collection: find, add and open them. */

import { ask } from "../dialogs.js";
import { breadcrumbs, busyButton, button, empty, failure, field, h, heading, keepFocus } from "../dom.js";
import { dropZone } from "../drop_zone.js";
import * as gallery from "../gallery.js";
import { date, text } from "../messages.js";
import { announce, notify, notifyError } from "../notices.js";
import { addListed, addressOf, listed, nameOf } from "../people.js";
import { askToImport } from "./collections.js";

const PAGE = 50;
const TYPING_MS = 200;

/** Show a collection. */
export async function showCollection(root, [name], signal) {
  const collection = await gallery.collection(name, signal);
  const people = h("ul.people");
  const more = h("div.more");
  const search = h("input", { type: "search", "aria-label": text("collection.search"), placeholder: text("collection.search") });
  let turn = 0, timer;

  async function list(cursor = null) {
    const mine = ++turn;
    try {
      const answer = await gallery.people(name, { name: search.value.trim(), limit: PAGE, cursor }, signal);
      if (mine !== turn) return;
      const rows = answer.people.map(person => row(name, person));
      if (cursor) people.append(...rows);
      else people.replaceChildren(...rows);
      if (cursor) rows[0]?.querySelector("a").focus(); // the button that had the focus goes
      more.replaceChildren(...answer.cursor ? [busyButton(text("collection.more"), () => list(answer.cursor))] : []);
      if (!people.children.length) more.replaceChildren(empty(text(search.value.trim() ? "collection.nobody" : "collection.empty")));
      if (search.value.trim()) announce(text("collection.found", { count: people.children.length }));
    } catch (error) {
      if (mine === turn && error.name !== "AbortError") more.replaceChildren(failure(error, () => list(cursor)));
    }
  }

  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => list(), TYPING_MS);
  });
  async function importPeople() {
    if (!await askToImport(name) || signal.aborted) return;
    await showCollection(root, [name], signal).catch(notifyError);
    keepFocus();
  }

  const usable = collection.usable;
  root.replaceChildren(
    breadcrumbs([text("collections.title"), "#/people"], [name]),
    heading(name,
      `${text("collections.people", { count: collection.people })} · ${text("collections.faces", { count: collection.faces })}`,
      usable ? h("a.button", { href: `#/identify/${encodeURIComponent(name)}` }, text("collections.identify")) : null,
      usable ? button(text("import.do"), importPeople) : null,
      usable ? button(text("person.add"), () => askForPerson(name), "primary") : null),
    usable ? "" : h("p.failure", {}, text("collections.unusable.about")),
    h("div.bar", {}, search),
    people, more);
  await list();
}

function row(collection, person) {
  const details = [text("collections.faces", { count: person.faces }), text("person.since", { date: date(person.created) })];
  if (person.name !== null && person.external_id !== null) details.unshift(person.external_id);
  return h("li", {}, h("a", { href: addressOf(collection, person.id) },
    h("strong", {}, nameOf(person)), h("span.soft", {}, details.join(" · "))));
}

/** Ask for a person and photos of them, add both, and open the person. */
async function askForPerson(collection) {
  const files = [], entries = [];
  const chosen = h("ul.results", { "aria-live": "polite" });
  const zone = dropZone({
    label: text("person.photos"), multiple: true, compact: true,
    onfiles: given => {
      files.push(...given);
      entries.push(...listed(chosen, given));
    },
  });
  const person = await ask({
    title: text("person.add"),
    body: [
      field(text("person.name"), h("input", { name: "name", maxlength: "200", autocomplete: "off", dir: "auto", required: true })),
      field(text("person.external_id"), h("input", { name: "external_id", maxlength: "200", autocomplete: "off" }), text("person.external_id.about")),
      zone, chosen,
    ],
    label: text("person.add.do"),
    submit: async (form, closed) => {
      const details = { name: form.get("name").trim(), external_id: form.get("external_id").trim() || null };
      const added = await gallery.addPerson(collection, details);
      const { stored, refused } = await addListed({ collection, id: added.id }, [...files], [...entries], closed);
      for (const reason of refused) notify(reason, "bad");
      notify(text("person.added", { name: nameOf(added), count: stored }));
      return added;
    },
  });
  if (person) location.hash = addressOf(collection, person.id);
}
