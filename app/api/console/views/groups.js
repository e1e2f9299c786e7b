/** The groups of faces that look like one person: their names, and how they are enrolled. */

import { busyButton, button, empty, field, h, select } from "../dom.js";
import { text } from "../messages.js";
import { announce, notify, notifyError } from "../notices.js";
import { addressOf, enrol, nameOf, queue } from "../people.js";
import { personField } from "../person_field.js";
import { crop, decode } from "../photos.js";
import { askForCollection } from "./collections.js";

const CARDS_SHOWN = 40;

/**
 * Return what is shown of an answer: what it has, the collection to enrol in, the groups, the single faces.
 *
 * @param {Object} answer - the answer of `/cluster`.
 * @param {File[]} files - the photos that were sent.
 * @returns {{elements: Node[], target: Object, model: string, photos: Object[]}} the elements; the field of the
 *   collection; the embedder; and of each photo its file, and its faces with the places of their crops.
 */
export function groupsOf({ results, clusters, model }, files) {
  const photos = results.map((result, index) => ({
    file: files[index],
    faces: (result.faces ?? []).map(face => ({ face, file: files[index], place: cropPlace() })),
  }));
  const faces = photos.flatMap(photo => photo.faces);
  const single = faces.filter(({ face }) => face.cluster === null);
  const refused = results.flatMap((result, image) => result.faces ? [] : [[files[image].name, result.detail || result.title]]);
  const none = results.flatMap((result, image) => result.faces?.length === 0 ? [files[image].name] : []);
  const target = targetField();
  const inTurn = queue();
  const card = (group, title) => groupCard(group, title, { collection: target.collection, inTurn });
  const cards = Array.from({ length: clusters }, (_, number) =>
    card(faces.filter(({ face }) => face.cluster === number), text("clusters.group", { number: number + 1 })));
  const alone = single.map((face, index) => card([face], text("clusters.face", { number: index + 1 })));
  const enrolNamed = busyButton(text("clusters.enrol_named"), async () => {
    const named = [...cards, ...alone].filter(one => one.named());
    if (!named.length) notify(text("clusters.no_names"));
    let added = 0;
    for (const one of named) added += await one.submit({ again: false });
    if (named.length) notify(text("clusters.all", { added, count: named.length }), added < named.length ? "bad" : "");
  }, "primary");
  const elements = [
    h("h2", { tabindex: "-1" }, text("clusters.found", { count: clusters, faces: faces.length, single: single.length })),
    refused.length ? h("details.failure", {}, h("summary", {}, text("clusters.refused", { count: refused.length })),
      h("ul", {}, refused.map(([name, reason]) => h("li", {}, `${name}: ${reason}`)))) : "",
    none.length ? h("details", {}, h("summary", {}, text("clusters.without", { count: none.length })), h("p", {}, none.join(", "))) : "",
    faces.length ? h("div.bar", {}, target.element, enrolNamed) : "",
    ...cards.length ? paged(cards) : [empty(text("clusters.no_groups"))],
    single.length ? h("details", {}, h("summary", {}, text("clusters.single", { count: single.length })), ...paged(alone)) : "",
  ];
  return { elements, target, model, photos };
}

/** Return a list of cards and the button below it that shows more of them. */
function paged(cards) {
  const list = h("ol.groups"), more = h("div.more");
  function showMore() {
    const added = cards.slice(list.children.length, list.children.length + CARDS_SHOWN);
    list.append(...added.map(card => card.element));
    more.replaceChildren(...list.children.length < cards.length ? [button(text("collection.more"), () => {
      showMore().querySelector("input").focus(); // the button that had the focus goes
    })] : []);
    return added[0].element;
  }
  showMore();
  return [list, more];
}

function targetField() {
  const control = select([], "");
  const offer = names => {
    const before = control.value;
    control.replaceChildren(...names.map(name => h("option", { value: name, selected: name === before }, name)));
  };
  const create = busyButton(text("collections.create"), async () => {
    const name = await askForCollection({ open: false });
    if (!name) return;
    if (![...control.options].some(option => option.value === name)) control.append(h("option", { value: name }, name));
    control.value = name;
  });
  const element = h("div.target", {}, field(text("clusters.collection"), control), create);
  return { element, offer, collection: () => control.value };
}

/** Return a group of faces: its crops, of which some can be left out, and the controls that enrol it. */
function groupCard(faces, title, { collection, inTurn }) {
  const boxes = faces.map(face => h("label.pick", {},
    h("input", { type: "checkbox", checked: true, "aria-label": text("clusters.pick", { name: face.file.name }) }), face.place));
  const who = personField(collection, { label: text("clusters.name", { group: title }), fresh: true });
  const status = h("div.soft");
  const named = () => who.input.value.trim();
  let done = null; // the collection in which the group is, as it is now

  async function enrolled(name) {
    const picked = faces.filter((_, index) => boxes[index].firstChild.checked);
    if (!name) throw new Error(text("clusters.no_collection"));
    const chosen = await who.chosen(name);
    if (!chosen) {
      who.input.focus();
      throw new Error(text("clusters.no_name"));
    }
    if (!picked.length) throw new Error(text("clusters.no_faces"));
    const outcome = await enrol(name, chosen, picked, count => {
      status.textContent = text("clusters.progress", { done: count, count: picked.length });
    });
    if (!outcome.refused.length) done = name;
    const values = { added: outcome.added, duplicates: outcome.duplicates, refused: outcome.refused.length };
    status.replaceChildren(
      h("p", {}, text("clusters.enrolled", values), " ", h("a", { href: addressOf(name, outcome.person.id) }, nameOf(outcome.person))),
      h("ul.results", {}, outcome.refused.map(reason => h("li.bad", {}, reason))));
    announce(`${title}: ${status.firstChild.textContent}`);
  }

  const submit = ({ again = true } = {}) => inTurn(async () => {
    const name = collection();
    if (!again && done === name) return true;
    try {
      await enrolled(name);
    } catch (error) {
      status.replaceChildren(h("p.bad", {}, error.message));
      if (again) notifyError(error);
    }
    return done === name;
  });

  const element = h("li.card.group", { oninput: () => { done = null; } },
    h("h3", {}, title, " ", h("span.soft", {}, text("collections.faces", { count: faces.length }))),
    h("div.crops", {}, boxes),
    h("div.enrol", {}, who.input, who.list, busyButton(text("clusters.enrol"), () => submit(), "", { "aria-label": `${text("clusters.enrol")}: ${title}` })),
    status);
  return { element, submit, named };
}

/** Return the place of a crop, which gets its pixels when the photo is decoded. */
function cropPlace() {
  return h("canvas.crop", { width: "112", height: "112", "aria-hidden": "true" });
}

/** Decode the photos one after the other, and draw the crops of their faces. */
export async function fillCrops({ photos }, signal) {
  for (const photo of photos) {
    if (photo.drawn || !photo.faces.length) continue;
    const bitmap = await decode(photo.file);
    if (bitmap) {
      for (const { face, place } of photo.faces) place.getContext("2d").drawImage(crop(bitmap, face.box), 0, 0);
      bitmap.close();
    }
    photo.drawn = true;
    if (signal.aborted) return;
  }
}
