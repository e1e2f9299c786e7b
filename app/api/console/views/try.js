/** Try detection, landmarks, embedding and verification on own photos. */

import { busyButton, failure, field, h, heading, select } from "../dom.js";
import { photoZone } from "../drop_zone.js";
import { facts, rawAnswer, show } from "../faces.js";
import { photoForm } from "../gallery.js";
import { number, rate, text } from "../messages.js";
import { announce, notifyError } from "../notices.js";
import { decode, examplePhoto } from "../photos.js";
import { call } from "../service.js";

const TASKS = ["detect", "landmarks", "embed", "verify"];

/** The photos stay when the task is changed. */
const photos = [null, null];

/** Show the view of a task: its parameters, one or two photos, and the result. */
export async function showTry(root, [task], signal) {
  const { models } = await call("GET", "models", { signal });
  const kind = task === "verify" ? "embed" : task;
  const options = parameters(task, models.filter(model => model.task === kind));
  const result = h("section.card.result");
  const slots = [];
  let turn = new AbortController();
  signal.addEventListener("abort", () => turn.abort());

  function take(index, file) {
    photos[index] = file;
    return run();
  }

  async function run() {
    if (signal.aborted) return;
    turn.abort();
    const mine = turn = new AbortController();
    const used = photos.slice(0, slots.length);
    const bitmaps = await Promise.all(used.map(file => file && decode(file)));
    if (mine.signal.aborted) return;
    slots.forEach((slot, index) => show(slot.canvas, bitmaps[index], []));
    if (used.some(file => !file)) {
      result.replaceChildren(h("p.soft", {}, text(`try.${slots.length === 2 ? "two" : "one"}`)));
      return;
    }
    result.replaceChildren(h("p.loading", {}, text("try.running")));
    announce(text("try.running"));
    const names = task === "verify" ? ["image_a", "image_b"] : ["image"];
    try {
      const answer = await call("POST", task, {
        form: photoForm(used, names), query: Object.fromEntries(new FormData(options)), signal: mine.signal,
      });
      if (task === "verify") verdict(answer, slots, bitmaps, result);
      else list(answer, slots[0], bitmaps[0], result);
      announce(result.querySelector("h2").textContent);
    } catch (error) {
      if (error.name !== "AbortError") result.replaceChildren(failure(error));
    }
  }

  for (let index = 0; index < (task === "verify" ? 2 : 1); index++) {
    const label = text(task === "verify" ? `try.drop.${index}` : "photo.drop");
    slots.push(photoZone({
      label, signal: index === 0 ? signal : null,
      onfiles: ([file]) => take(pasteSlot(index, slots.length), file),
    }));
  }
  options.addEventListener("change", run);
  options.addEventListener("submit", event => event.preventDefault());
  const example = busyButton(text("try.example"), async () => {
    try {
      const file = await examplePhoto();
      slots.forEach((_, index) => { photos[index] = file; });
      await run();
    } catch (error) {
      notifyError(error);
    }
  });
  options.append(example);
  root.replaceChildren(
    heading(text("try.title"), text("try.about")),
    h("nav.tabs", { "aria-label": text("try.tasks") }, TASKS.map(name => h("a", {
      href: `#/try/${name}`, "aria-current": name === task ? "page" : null,
    }, text(`task.${name}`)))),
    options,
    h("div.split", {}, h(`div.photos${slots.length === 2 ? ".two" : ""}`, {}, slots.map(slot => slot.zone)), result));
  run();
}

/** A photo that is pasted while there is one already becomes the second one. */
function pasteSlot(index, count) {
  return index === 0 && count === 2 && photos[0] && !photos[1] ? 1 : index;
}

function parameters(task, models) {
  const usual = models.find(model => model.default);
  const named = models.map(model => [model.name, model.name]);
  const fields = [
    field(text("try.model"), select([["", text("try.model.default", { name: usual?.name ?? "" })], ...named], "", { name: "model" })),
  ];
  if (task !== "verify") {
    fields.push(field(text("try.min_face_size"),
      h("input", { type: "number", name: "min_face_size", min: "6", step: "1", placeholder: "20" })));
  }
  const range = task === "verify" ? { min: "-1", max: "1" } : { min: "0", max: "1" };
  fields.push(
    field(text("try.threshold"), h("input", {
      type: "number", name: "threshold", step: "any", placeholder: text("try.threshold.default"), ...range,
    })),
    field(text("try.orientation"), select([["", text("orientation.upright")], ["auto", text("orientation.auto")]], "", { name: "orientation" })));
  if (task !== "verify") {
    fields.push(
      h("label.check", {}, h("input", { type: "checkbox", name: "pose", value: "true" }), text("face.pose")),
      h("label.check", {}, h("input", { type: "checkbox", name: "quality", value: "true" }), text("face.quality")));
  }
  return h("form.parameters", {}, fields);
}

function list(answer, slot, bitmap, result) {
  const marks = answer.faces.map(face => ({ ...face, label: number(face.score, 2) }));
  const entries = answer.faces.map(face => h("li", {}, facts(face)));
  show(slot.canvas, bitmap, marks, entries);
  result.replaceChildren(
    h("h2", {}, text("photo.faces", { count: answer.faces.length })),
    timing(answer),
    bitmap ? "" : h("p.soft", {}, text("photo.not_shown")),
    h("ol.faces", {}, entries),
    rawAnswer(answer));
}

function verdict(answer, slots, bitmaps, result) {
  slots.forEach((slot, index) => {
    const face = [answer.face_a, answer.face_b][index];
    show(slot.canvas, bitmaps[index], [{ ...face, known: answer.verified }]);
  });
  result.replaceChildren(
    h(`h2.${answer.verified ? "good" : "other"}`, {}, text(answer.verified ? "verify.same" : "verify.different")),
    timing(answer),
    scale(answer),
    h("dl.facts", {}, [
      ["verify.similarity", number(answer.similarity, 3)],
      ["verify.threshold", number(answer.threshold, 3)],
      ["verify.far", answer.far === null ? text("verify.own_threshold") : rate(answer.far)],
      ["verify.probability", answer.probability === null ? text("none") : number(answer.probability, 3)],
    ].map(([key, value]) => h("div", {}, h("dt", {}, text(key)), h("dd", {}, value)))),
    rawAnswer(answer));
}

/** Return the similarity as a bar from 0 to 1, with a mark at the threshold. */
function scale({ similarity, threshold, verified }) {
  const percent = value => `${100 * Math.min(1, Math.max(0, value))}%`;
  const bar = h(`div.value${verified ? "" : ".low"}`), mark = h("div.mark");
  bar.style.width = percent(similarity);
  mark.style.left = percent(threshold);
  const values = { similarity: number(similarity, 3), threshold: number(threshold, 3) };
  return h("div.scale", { role: "img", "aria-label": text("verify.scale", values) }, bar, mark);
}

function timing(answer) {
  return h("p.soft", {}, text("try.timing", { milliseconds: Math.round(answer.timing_ms.total), model: answer.model }));
}
