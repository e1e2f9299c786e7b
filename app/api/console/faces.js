/** A photo with its faces: the photo with boxes, and a list of the faces beside it. */

import { h } from "./dom.js";
import { number, text } from "./messages.js";
import { paint } from "./photos.js";

/**
 * Draw faces on a photo, and emphasise the one whose entry in the list has the pointer or the focus.
 *
 * @param {HTMLCanvasElement} canvas - where the photo is drawn.
 * @param {ImageBitmap|null} bitmap - the photo; null hides the canvas.
 * @param {Object[]} marks - the faces, as `paint` takes them.
 * @param {HTMLElement[]} [entries] - the entries of the list, in the order of the faces.
 */
export function show(canvas, bitmap, marks, entries = []) {
  canvas.hidden = !bitmap;
  canvas.parentElement?.classList.toggle("full", Boolean(bitmap));
  if (!bitmap) return;
  canvas.setAttribute("aria-label", described(marks));
  paint(canvas, bitmap, marks);
  entries.forEach((entry, index) => {
    for (const event of ["pointerenter", "focusin"]) entry.addEventListener(event, () => paint(canvas, bitmap, marks, index));
    for (const event of ["pointerleave", "focusout"]) entry.addEventListener(event, () => paint(canvas, bitmap, marks));
  });
}

function described(marks) {
  const labels = marks.map(face => face.label).filter(Boolean);
  return [text("photo.faces", { count: marks.length }), labels.join(", ")].filter(Boolean).join(": ");
}

/** Return what is known of a face as terms and values: score, size, pose and quality. */
export function facts(face) {
  const { x1, y1, x2, y2 } = face.box;
  const values = [
    ["face.score", number(face.score, 3)],
    ["face.size", text("face.pixels", { width: Math.round(x2 - x1), height: Math.round(y2 - y1) })],
  ];
  if (face.quality !== null && face.quality !== undefined) values.push(["face.quality", number(face.quality, 2)]);
  if (face.pose) {
    values.push(["face.pose", text("face.angles", Object.fromEntries(
      ["yaw", "pitch", "roll"].map(name => [name, Math.round(face.pose[name])])))]);
  }
  if (face.rotation) values.push(["face.rotation", text("face.degrees", { degrees: face.rotation })]);
  return h("dl.facts", {}, values.map(([key, value]) => h("div", {}, h("dt", {}, text(key)), h("dd", {}, value))));
}

/** Return an object as text. Lists of numbers are written on one line, and long ones are cut. */
export function compactJson(answer) {
  const flat = value => Array.isArray(value) && value.length && value.every(v => typeof v === "number");
  const kept = [];
  const mark = `${Math.random().toString(36)}-`.slice(2); // random, so that no text of the answer begins with it
  const written = JSON.stringify(answer, (_, v) => flat(v) ? `${mark}${kept.push(v) - 1}` : v, 2);
  return written.replace(new RegExp(`"${mark}(\\d+)"`, "g"), (_, index) => {
    const list = kept[index];
    return list.length > 8
      ? `[${list.slice(0, 6).join(", ")}, ${text("json.more", { count: list.length })}]`
      : `[${list.join(", ")}]`;
  });
}

/** Return the answer of the service as it is, folded. */
export function rawAnswer(answer) {
  return h("details.raw", {}, h("summary", {}, text("json.title")), h("pre", { tabindex: "0" }, compactJson(answer)));
}
