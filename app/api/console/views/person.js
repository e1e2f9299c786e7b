/** A person: their faces, and what can be changed. */

import { ask, askToDelete } from "../dialogs.js";
import { breadcrumbs, button, empty, field, h, heading, keepFocus } from "../dom.js";
import { dropZone } from "../drop_zone.js";
import * as gallery from "../gallery.js";
import { date, number, text } from "../messages.js";
import { notify, notifyDeleted, notifyError } from "../notices.js";
import { addListed, addressOf, cropOf, listed, nameOf, queue } from "../people.js";
import { personField } from "../person_field.js";

/** Show a person. */
export async function showPerson(root, [collection, id], signal) {
  const results = h("ul.results", { "aria-live": "polite" });
  const inTurn = queue();
  let waiting = 0;

  /** Show the person as the service has them now. */
  async function render() {
    const [{ usable }, person, faces] = await Promise.all([
      gallery.collection(collection, signal), gallery.person(collection, id, signal), gallery.faces(collection, id, signal),
    ]);
    const list = h("ul.faces.grid", {}, faces.map(face => h("li", {}, faceCard(collection, person, face, again))));
    root.replaceChildren(
      breadcrumbs([text("collections.title"), "#/people"], [collection, `#/people/${encodeURIComponent(collection)}`], [nameOf(person)]),
      heading(nameOf(person), text("collections.faces", { count: faces.length }),
        button(text("person.edit"), () => edit(collection, person, again)),
        button(text("person.merge"), () => merge(collection, person)),
        button(text("person.delete"), () => remove(collection, person), "danger")),
      details(person),
      usable ? dropZone({ label: text("person.drop", { name: nameOf(person) }), multiple: true, compact: true, onfiles: add, signal: pasted() }) : "",
      results,
      faces.length ? list : empty(text("person.no_faces")),
      faces.length ? h("p.soft", {}, text("person.crops")) : "");
  }

  let shown = new AbortController();
  signal.addEventListener("abort", () => shown.abort());

  /** Return a signal that ends when the view is left or shown anew: only its last field takes what is pasted. */
  function pasted() {
    shown.abort();
    shown = new AbortController();
    return shown.signal;
  }

  const again = (focus = null) => render().then(() => keepFocus(focus && root.querySelector(focus)), notifyError);

  /** Add photos after those that are being added. */
  function add(files) {
    if (!waiting) results.replaceChildren();
    const entries = listed(results, files);
    waiting++;
    inTurn(async () => {
      await addListed({ collection, id }, files, entries, signal);
      waiting--;
      if (!signal.aborted) await again(".drop input");
    });
  }

  await render();
}

function details(person) {
  const values = [["person.id", person.id], ["person.created", date(person.created)]];
  if (person.external_id !== null) values.push(["person.external_id", person.external_id]);
  if (person.expires !== null) values.push(["person.expires", date(person.expires)]);
  if (person.metadata !== null) values.push(["person.metadata", JSON.stringify(person.metadata)]);
  return h("dl.facts", {}, values.map(([key, value]) => h("div", {}, h("dt", {}, text(key)), h("dd", {}, value))));
}

function faceCard(collection, person, face, again) {
  const label = text("face.named", { date: date(face.created) });
  const actions = [
    button(text("face.move"), () => move(collection, person, face, again), "quiet", { "aria-label": `${text("face.move")}: ${label}` }),
    button(text("face.delete"), () => removeFace(collection, person, face, again), "quiet", { "aria-label": `${text("face.delete")}: ${label}` }),
  ];
  const { x1, y1, x2, y2 } = face.box;
  return [
    cropOf(face.id),
    h("div", {},
      h("p", {}, text("face.quality.value", { quality: face.quality === null ? text("none") : number(face.quality, 2) })),
      h("p.soft", {}, text("face.pixels", { width: Math.round(x2 - x1), height: Math.round(y2 - y1) })),
      h("p.soft", {}, date(face.created)),
      h("div.actions", {}, actions)),
  ];
}

function edit(collection, person, again) {
  const controls = {
    name: h("input", { name: "name", maxlength: "200", value: person.name ?? "", autocomplete: "off", dir: "auto" }),
    external_id: h("input", { name: "external_id", maxlength: "200", value: person.external_id ?? "", autocomplete: "off" }),
    metadata: h("textarea", { name: "metadata", rows: "3", spellcheck: "false" },
      person.metadata === null ? "" : JSON.stringify(person.metadata, null, 2)),
  };
  const shown = Object.fromEntries(Object.entries(controls).map(([name, control]) => [name, control.value]));
  return ask({
    title: text("person.edit.title", { name: nameOf(person) }),
    body: [
      field(text("person.name"), controls.name),
      field(text("person.external_id"), controls.external_id, text("person.external_id.about")),
      field(text("person.metadata"), controls.metadata, text("person.metadata.about")),
    ],
    label: text("dialog.save"),
    submit: async () => {
      const changed = Object.keys(controls).filter(name => controls[name].value !== shown[name]);
      const fields = Object.fromEntries(changed.map(name => [name, jsonOf(name, controls[name].value.trim())]));
      if (changed.length) await gallery.changePerson(collection, person.id, fields);
      await again();
    },
  });
}

/** Return what was written in a field as JSON. Metadata is JSON already, and stays as it is written. */
function jsonOf(name, written) {
  if (!written) return "null";
  if (name !== "metadata") return JSON.stringify(written);
  try {
    JSON.parse(written);
  } catch (error) {
    throw new Error(text("person.metadata.malformed", { reason: error.message }));
  }
  return written;
}

/** Ask for another person of the collection, and do something with the one who is chosen. */
function askForOther(collection, person, { title, message, label, submit }) {
  const choice = personField(() => collection, { label: text("person.other"), except: person.id });
  return ask({
    title,
    body: [h("p", {}, message), field(text("person.other"), choice.input), choice.list],
    label,
    submit: async () => {
      const other = await choice.chosen(collection);
      if (!other) throw new Error(text("person.other.unknown"));
      await submit(other);
      return other;
    },
  });
}

async function merge(collection, person) {
  const into = await askForOther(collection, person, {
    title: text("person.merge.title", { name: nameOf(person) }),
    message: text("person.merge.about", { name: nameOf(person) }),
    label: text("person.merge.do"),
    submit: async other => {
      await gallery.mergePerson(collection, person.id, other.id);
      notify(text("person.merged", { name: nameOf(person), other: nameOf(other) }));
    },
  });
  if (into) location.hash = addressOf(collection, into.id);
}

function move(collection, person, face, again) {
  return askForOther(collection, person, {
    title: text("face.move.title"),
    message: text("face.move.about", { name: nameOf(person) }),
    label: text("face.move.do"),
    submit: async other => {
      await gallery.moveFace(collection, person.id, face.id, other.id);
      notify(text("face.moved", { other: nameOf(other) }));
      await again();
    },
  });
}

async function remove(collection, person) {
  const deleted = await askToDelete({
    title: text("person.delete.title", { name: nameOf(person) }),
    message: text("person.delete.message", { count: person.faces }),
    label: text("person.delete"),
    submit: async () => {
      notifyDeleted(text("person.deleted", { name: nameOf(person) }), await gallery.deletePerson(collection, person.id));
    },
  });
  if (deleted) location.hash = `#/people/${encodeURIComponent(collection)}`;
}

function removeFace(collection, person, face, again) {
  return askToDelete({
    title: text("face.delete.title"),
    message: text("face.delete.message", { name: nameOf(person) }),
    label: text("face.delete"),
    submit: async () => {
      notifyDeleted(text("face.deleted"), await gallery.deleteFace(collection, person.id, face.id));
      await again();
    },
  });
}
