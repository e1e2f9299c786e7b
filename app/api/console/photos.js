/** Photos in the browser: decoding, drawing with boxes, and crops of faces. */

import { download } from "./service.js";
import { decodeTurnedWebp } from "./webp.js";

const LONGEST_SIDE = 2048;
const SMALL_SIDE = 720;
const CROP_MARGIN = 0.25;
const GREEN = "#3ddc97", AMBER = "#ffd166", DARK = "#101418";
const POINTS = { left_eye: "#4dabf7", right_eye: "#ff6b6b", nose: "#ffffff", mouth_left: "#845ef7", mouth_right: "#ff922b" };

/** Return the upright pixels of a photo; null for a format that the browser cannot read, such as HEIC. */
export async function decode(file) {
  const turned = await decodeTurnedWebp(file).catch(() => null); // damaged EXIF: the photo as it is
  return turned ?? createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => null);
}

/**
 * Draw a photo and what was found in it on a canvas.
 *
 * @param {HTMLCanvasElement} canvas - gets the size of the photo, at most 2,048 pixels on a side. Small photos are
 *   enlarged.
 * @param {ImageBitmap} bitmap - the photo.
 * @param {{box: Object, keypoints?: Object, landmarks?: number[][], label?: string, known?: boolean}[]} marks -
 *   the faces, in pixels of the photo. Faces that are not `known` are drawn in another colour.
 * @param {number} [chosen] - index of the face that is emphasised.
 */
export function paint(canvas, bitmap, marks, chosen = -1) {
  const longest = Math.max(bitmap.width, bitmap.height);
  const scale = Math.max(Math.min(1, LONGEST_SIDE / longest), SMALL_SIDE / longest);
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  const pen = canvas.getContext("2d");
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const order = marks.map((_, index) => index).reverse().filter(index => index !== chosen);
  if (chosen >= 0) order.push(chosen);
  for (const index of order) mark(pen, marks[index], scale, index === chosen);
}

function mark(pen, face, scale, chosen) {
  const { canvas } = pen;
  const [x1, y1, x2, y2] = ["x1", "y1", "x2", "y2"].map(name => face.box[name] * scale);
  const whole = Math.sqrt(canvas.width * canvas.height);
  const line = Math.max(1, Math.min(whole / 320, Math.sqrt((x2 - x1) * (y2 - y1)) / 40)) * (chosen ? 2 : 1);
  const colour = face.known === false ? AMBER : GREEN;
  for (const [style, width] of [[DARK, 1.9 * line], [colour, line]]) {
    pen.strokeStyle = style;
    pen.lineWidth = width;
    pen.beginPath();
    pen.roundRect(x1, y1, x2 - x1, y2 - y1, 3 * line);
    pen.stroke();
  }
  for (const point of face.landmarks || []) dot(pen, point, scale, 1.1 * line, AMBER);
  if (!face.landmarks) {
    for (const [name, point] of Object.entries(face.keypoints || {})) dot(pen, point, scale, 1.9 * line, POINTS[name]);
  }
  if (face.label) tag(pen, face.label, { x: x1, top: y1, bottom: y2, width: x2 - x1 }, colour);
}

function dot(pen, [x, y], scale, radius, colour) {
  pen.beginPath();
  pen.arc((x + 0.5) * scale, (y + 0.5) * scale, radius, 0, 2 * Math.PI); // integer coordinates are pixel centres
  pen.fillStyle = colour;
  pen.fill();
  pen.strokeStyle = DARK;
  pen.lineWidth = Math.max(0.5, radius / 3);
  pen.stroke();
}

function tag(pen, label, box, colour) {
  const { canvas } = pen;
  const whole = Math.sqrt(canvas.width * canvas.height);
  const size = Math.max(12, Math.min(whole / 36, box.width / 4));
  pen.font = `600 ${size}px system-ui, sans-serif`;
  label = shortened(pen, label, Math.max(box.width, canvas.width / 3));
  const width = pen.measureText(label).width + size * 0.6;
  const x = Math.max(0, Math.min(box.x, canvas.width - width));
  const top = box.top > size * 1.6 ? box.top - size * 1.6 : Math.min(box.bottom + size * 0.3, canvas.height - size * 1.3);
  pen.fillStyle = DARK;
  pen.fillRect(x, top, width, size * 1.3);
  pen.fillStyle = colour;
  pen.fillText(label, x + size * 0.3, top + size);
}

/** Return a label, cut to a width, so that the name of one face does not cover another one. */
function shortened(pen, label, width) {
  const letters = [...label];
  let kept = letters.length;
  while (kept > 1 && pen.measureText(letters.slice(0, kept).join("")).width > width) kept--;
  return kept < letters.length ? `${letters.slice(0, kept).join("")}…` : label;
}

/**
 * Return a canvas with a face and some of its surroundings.
 *
 * @param {ImageBitmap} bitmap - the photo.
 * @param {Object} box - the box of the face, in pixels of the photo.
 * @param {number} [side] - sides of the canvas in pixels.
 */
export function crop(bitmap, box, side = 112) {
  const width = box.x2 - box.x1, height = box.y2 - box.y1;
  const length = Math.max(width, height) * (1 + 2 * CROP_MARGIN);
  const x = (box.x1 + box.x2) / 2 - length / 2, y = (box.y1 + box.y2) / 2 - length / 2;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  canvas.className = "crop";
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, x, y, length, length, 0, 0, side, side);
  return canvas;
}

/** Return the example photo of the service as a file. */
export async function examplePhoto() {
  return new File([await download("example.jpg")], "example.jpg", { type: "image/jpeg" });
}
