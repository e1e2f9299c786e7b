/** All collections: create, open, import and delete them. */

import { askToDelete, ask } from "../dialogs.js";
import { busyButton, button, empty, field, h, heading, select } from "../dom.js";
import * as gallery from "../gallery.js";
import { date, number, text } from "../messages.js";
import { notify, notifyDeleted, notifyError } from "../notices.js";
import { call } from "../service.js";

/** Show all collections. */
export async function showCollections(root, _, signal) {
  const again = () => showCollections(root, _, signal).catch(notifyError);
  const collections = await gallery.collections(signal);
  const create = button(text("collections.create"), () => askForCollection(), "primary");
  root.replaceChildren(
    heading(text("collections.title"), text("collections.about"), create),
    collections.length
      ? h("ul.cards", {}, collections.map(item => h("li.card", {}, card(item, again))))
      : empty(text("collections.empty"), button(text("collections.create"), () => askForCollection())));
}

function card(item, again) {
  const address = encodeURIComponent(item.name);
  return [
    h("h2", {}, h("a", { href: `#/people/${address}` }, item.name), " ",
      item.usable ? null : h("span.badge.warn", {}, text("collections.unusable"))),
    h("p", {}, `${text("collections.people", { count: item.people })} · ${text("collections.faces", { count: item.faces })}`),
    h("p.soft", {}, text("collections.details", { model: item.model, created: date(item.created) })),
    item.usable ? null : h("p.soft", {}, text("collections.unusable.about")),
    h("div.actions", {},
      item.usable ? h("a.button", { href: `#/identify/${address}` }, text("collections.identify")) : null,
      busyButton(text("collections.export"), () => save(item.name)),
      button(text("collections.delete"), () => remove(item, again), "danger", {
        "aria-label": text("collections.delete.named", { name: item.name }),
      })),
  ];
}

/** Ask for a new collection, and open it. Returns its name; undefined if the dialog was cancelled. */
export async function askForCollection({ open = true } = {}) {
  const { models } = await call("GET", "models").catch(() => ({ models: [] }));
  const embedders = models.filter(model => model.task === "embed");
  const usual = embedders.find(model => model.default)?.name ?? "";
  const name = await ask({
    title: text("collections.create"),
    body: [
      field(text("collections.name"), h("input", {
        name: "name", required: true, maxlength: "64", pattern: "[A-Za-z0-9][A-Za-z0-9_.\\-]*", autocomplete: "off",
        spellcheck: "false", title: text("collections.name.rule"),
      }), text("collections.name.rule")),
      field(text("collections.model"), select(embedders.map(({ name: model }) => [model, model]), usual, { name: "model" }),
        text("collections.model.about")),
    ],
    label: text("collections.create.do"),
    submit: async form => (await gallery.createCollection(form.get("name"), form.get("model"))).name,
  });
  if (name && open) location.hash = `#/people/${encodeURIComponent(name)}`;
  return name;
}

async function save(name) {
  try {
    const address = URL.createObjectURL(await gallery.exportCollection(name));
    h("a", { href: address, download: `${name}.jsonl` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  } catch (error) {
    notifyError(error);
  }
}

async function remove(item, again) {
  await askToDelete({
    title: text("collections.delete.title", { name: item.name }),
    message: text("collections.delete.message", { people: number(item.people, 0), faces: number(item.faces, 0) }),
    label: text("collections.delete"),
    word: item.people ? item.name : null,
    submit: async () => {
      notifyDeleted(text("collections.deleted", { name: item.name }), await gallery.deleteCollection(item.name));
      await again();
    },
  });
}

/** Ask for a file with an export, and add its people to a collection. Returns whether something was added. */
export function askToImport(name) {
  return ask({
    title: text("import.title", { name }),
    body: [
      h("p", {}, text("import.about")),
      field(text("import.file"), h("input", { type: "file", name: "file", accept: ".jsonl,.ndjson,application/x-ndjson", required: true })),
    ],
    label: text("import.do"),
    submit: async form => {
      const added = await gallery.importCollection(name, form.get("file"));
      notify(text("import.done", { people: number(added.people, 0), faces: number(added.faces, 0) }));
      return true;
    },
  });
}
