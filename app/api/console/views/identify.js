/** Identify the faces of a photo in a collection, and enrol those that are nobody yet. */

import { busyButton, empty, failure, field, h, heading, keepFocus, select } from "../dom.js";
import { photoZone } from "../drop_zone.js";
import { rawAnswer, show } from "../faces.js";
import * as gallery from "../gallery.js";
import { number, text } from "../messages.js";
import { announce, notify, notifyError } from "../notices.js";
import { addressOf, enrol, nameOf, queue } from "../people.js";
import { personField } from "../person_field.js";
import { crop, decode } from "../photos.js";
import { askForCollection } from "./collections.js";

const RATES = ["0.1", "0.01", "0.001"];

const inTurn = queue();

/** The photo stays when another collection is chosen. */
let photo = null;

/** Show the view of a collection; without one, that of the first collection. */
export async function showIdentify(root, [wanted = null], signal) {
  const collections = (await gallery.collections(signal)).filter(item => item.usable);
  if (!collections.length) {
    root.replaceChildren(
      heading(text("identify.title"), text("identify.about")),
      empty(text("identify.no_collection"), busyButton(text("collections.create"), () => askForCollection(), "primary")));
    return;
  }
  if (wanted !== null && !collections.some(item => item.name === wanted)) await gallery.collection(wanted, signal); // its error
  const name = wanted ?? collections[0].name;
  const options = h("form.parameters", { onsubmit: event => event.preventDefault() },
    field(text("identify.collection"), select(collections.map(item => [item.name, item.name]), name, {
      onchange: event => { location.hash = `#/identify/${encodeURIComponent(event.target.value)}`; },
    })),
    field(text("identify.fpir"), select(RATES.map(rate => [rate, text(`identify.fpir.${rate}`)]), "0.01", { name: "fpir" })),
    field(text("try.min_face_size"), h("input", { type: "number", name: "min_face_size", min: "6", step: "1", placeholder: "20" })),
    field(text("try.orientation"), select([["", text("orientation.upright")], ["auto", text("orientation.auto")]], "", { name: "orientation" })));
  const result = h("section.card.result");
  let names = new Map(); // what was entered for the faces of the photo, by their boxes
  let fields = new Map(); // the fields in which it is entered
  const { zone, canvas } = photoZone({
    label: text("photo.drop"), signal,
    onfiles: ([file]) => {
      photo = file;
      names = new Map();
      run();
    },
  });
  let turn = new AbortController();
  signal.addEventListener("abort", () => turn.abort());

  /** Identify the faces again after one was added. Those that are shown stay until then. */
  const again = () => run({ stay: true });

  async function run({ stay = false } = {}) {
    if (signal.aborted) return;
    turn.abort();
    const mine = turn = new AbortController();
    if (!photo) {
      result.replaceChildren(h("p.soft", {}, text("try.one")));
      return;
    }
    if (!stay) result.replaceChildren(h("p.loading", {}, text("try.running")));
    announce(text("try.running"));
    const file = photo;
    try {
      const [bitmap, answer] = await Promise.all([
        decode(file), gallery.identify(name, file, Object.fromEntries(new FormData(options)), mine.signal),
      ]);
      if (mine.signal.aborted) return;
      const marks = answer.faces.map(face => ({ ...face, keypoints: null, label: labelOf(face), known: face.person !== null }));
      const focused = [...fields].find(([, input]) => input === document.activeElement)?.[0];
      fields = new Map();
      const entries = answer.faces.map(face => h("li", {}, entry(name, file, bitmap, face, { names, fields, again })));
      show(canvas, bitmap, marks, entries);
      result.replaceChildren(
        h("h2", { tabindex: "-1" }, text("identify.found", { count: answer.faces.filter(face => face.person).length, faces: answer.faces.length })),
        h("p.soft", {}, text("identify.threshold", {
          threshold: number(answer.threshold, 3), faces: number(answer.gallery_faces, 0), milliseconds: Math.round(answer.timing_ms.total),
        })),
        bitmap ? "" : h("p.soft", {}, text("photo.not_shown")),
        h("ol.faces.people", {}, entries),
        rawAnswer(answer));
      announce(result.querySelector("h2").textContent);
      keepFocus(fields.get(focused) ?? result.querySelector("h2"));
    } catch (error) {
      const bitmap = await decode(file);
      if (mine.signal.aborted) return;
      show(canvas, bitmap, []);
      result.replaceChildren(failure(error, run));
      keepFocus(result.querySelector("button"));
    }
  }

  options.addEventListener("change", event => { if (event.target.name) run(); });
  root.replaceChildren(
    heading(text("identify.title"), text("identify.about"),
      h("a.button", { href: `#/people/${encodeURIComponent(name)}` }, text("identify.open", { name }))),
    options,
    h("div.split", {}, h("div.photos", {}, zone), result));
  run();
}

function labelOf(face) {
  return face.person ? nameOf(face.person) : text("identify.unknown");
}

function entry(collection, file, bitmap, face, shown) {
  const title = face.person
    ? h("a", { href: addressOf(collection, face.person.id) }, nameOf(face.person))
    : h("span", {}, text("identify.unknown"));
  return [
    bitmap ? crop(bitmap, face.box, 88) : null,
    h("div", {},
      h("h3", {}, title, " ", face.similarity === null ? null : h("span.soft", {}, number(face.similarity, 3))),
      face.candidates.length ? h("details", {}, h("summary", {}, text("identify.candidates")),
        h("ul", {}, face.candidates.map(person => h("li", {}, h("a", { href: addressOf(collection, person.id) }, nameOf(person)),
          ` ${number(person.similarity, 3)}`)))) : null,
      enrolment(collection, file, face, shown)),
  ];
}

/** Return the controls that add a face to a person, who may be new. A name that was entered before is kept. */
function enrolment(collection, file, face, { names, fields, again }) {
  const key = JSON.stringify(face.box);
  const who = personField(() => collection, { label: text("identify.who"), preset: face.person, fresh: true });
  if (names.has(key)) who.input.value = names.get(key);
  who.input.addEventListener("input", () => names.set(key, who.input.value));
  fields.set(key, who.input);

  async function enrolled() {
    try {
      const chosen = await who.chosen(collection);
      if (!chosen) {
        who.input.focus();
        throw new Error(text("identify.no_name"));
      }
      const { person, duplicates, errors } = await enrol(collection, chosen, [{ file, face }]);
      if (errors.length) throw errors[0];
      notify(text(duplicates ? "identify.duplicate" : "identify.enrolled", { name: nameOf(person) }));
      names.delete(key);
      return true;
    } catch (error) {
      notifyError(error);
      return false;
    }
  }

  const submit = busyButton(text("identify.enrol"), async () => {
    if (await inTurn(enrolled)) await again();
  });
  return h("div.enrol", {}, who.input, who.list, submit);
}
