const $ = id => document.getElementById(id);
const TASKS = { detect: "detect", landmarks: "landmarks", embed: "embed", verify: "embed" };
const COLOURS = { left_eye: "#4dabf7", right_eye: "#ff6b6b", nose: "#ffffff", mouth_left: "#845ef7", mouth_right: "#ff922b" };
const slots = [0, 1].map(slot);
let models = [], turn = 0;

function slot(index) {
  const root = document.createElement("div"), hint = document.createElement("span");
  const canvas = document.createElement("canvas"), input = document.createElement("input");
  root.className = "drop";
  hint.textContent = `Drop ${index ? "the second" : "a"} photo here, or click to choose one`;
  input.type = "file"; input.accept = "image/*"; input.title = ""; canvas.hidden = true;
  input.setAttribute("aria-label", hint.textContent);
  root.append(hint, canvas, input);
  $("drops").append(root);
  const self = { root, hint, canvas, file: null, bitmap: null };
  input.onchange = () => input.files[0] && give(self, input.files[0]);
  root.ondragover = event => { event.preventDefault(); root.classList.add("over"); };
  root.ondragleave = () => root.classList.remove("over");
  root.ondrop = event => {
    event.preventDefault(); root.classList.remove("over");
    if (event.dataTransfer.files[0]) give(self, event.dataTransfer.files[0]);
  };
  return self;
}

async function give(self, file) {
  self.file = file;
  self.bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => null);
  paint(self, []);
  ask();
}

function paint(self, faces) {
  const { canvas, bitmap } = self;
  self.root.classList.toggle("full", !!bitmap);
  canvas.hidden = !bitmap; self.hint.hidden = !!bitmap;
  if (!bitmap) return;
  canvas.width = bitmap.width; canvas.height = bitmap.height;
  const pen = canvas.getContext("2d");
  pen.drawImage(bitmap, 0, 0);
  const whole = Math.sqrt(bitmap.width * bitmap.height);
  for (const face of [...faces].reverse()) {
    const { x1, y1, x2, y2 } = face.box;
    const width = Math.max(1, Math.min(whole / 320, Math.sqrt((x2 - x1) * (y2 - y1)) / 40));
    for (const [colour, size] of [["#101418", 1.9 * width], ["#3ddc97", width]]) {
      pen.strokeStyle = colour; pen.lineWidth = size;
      pen.beginPath(); pen.roundRect(x1, y1, x2 - x1, y2 - y1, 3 * width); pen.stroke();
    }
    const dot = ([x, y], radius, colour) => {
      pen.beginPath(); pen.arc(x + .5, y + .5, radius, 0, 2 * Math.PI);
      pen.fillStyle = colour; pen.fill(); pen.strokeStyle = "#101418"; pen.lineWidth = Math.max(.5, radius / 3); pen.stroke();
    };
    for (const point of face.landmarks || []) dot(point, 1.1 * width, "#ffd166");
    if (!face.landmarks) for (const [name, point] of Object.entries(face.keypoints)) dot(point, 1.9 * width, COLOURS[name]);
    const size = Math.max(11, Math.min(whole / 45, (x2 - x1) / 4)), text = face.score.toFixed(2);
    pen.font = `600 ${size}px system-ui, sans-serif`;
    const wide = pen.measureText(text).width + size * .6, top = y1 > size * 1.6 ? y1 - size * 1.6 : y1 + size * .3;
    pen.fillStyle = "#101418"; pen.fillRect(x1, top, wide, size * 1.3);
    pen.fillStyle = "#3ddc97"; pen.fillText(text, x1 + size * .3, top + size);
  }
}

async function ask() {
  const task = $("task").value, two = task === "verify";
  const used = slots.slice(0, two ? 2 : 1);
  if (used.some(s => !s.file)) {
    return tell(two ? "Drop, paste or choose two photos to compare." : "Drop, paste or choose a photo.");
  }
  const mine = ++turn, body = new FormData(), query = new URLSearchParams();
  used.forEach((s, i) => body.append(two ? ["image_a", "image_b"][i] : "image", s.file, s.file.name || "image"));
  for (const name of ["model", "threshold", "orientation", ...(two ? [] : ["min_face_size"])]) {
    if ($(name).value) query.set(name, $(name).value);
  }
  tell("Processing ...");
  let answer, response;
  try {
    response = await fetch(`${task}?${query}`, { method: "POST", body, headers: key() });
    answer = await response.json();
  } catch (error) {
    return mine === turn && tell(`The service did not respond: ${error.message}`, null, true);
  }
  if (mine !== turn) return;
  if (!response.ok) {
    if (response.status === 401) $("locked").hidden = false;
    used.forEach(s => paint(s, []));
    return tell(answer.detail || answer.title, answer, true);
  }
  used.forEach((s, i) => paint(s, two ? [[answer.face_a, answer.face_b][i]] : answer.faces));
  const time = `${Math.round(answer.timing_ms.total)} ms, ${answer.model}`;
  const verdict = two
    ? `${answer.verified ? "Same person" : "Different people"}: similarity ${answer.similarity.toFixed(3)}, threshold ${answer.threshold.toFixed(3)}${answer.probability === null ? "" : `, probability ${answer.probability.toFixed(3)}`}`
    : `${answer.faces.length} ${answer.faces.length === 1 ? "face" : "faces"}`;
  tell([verdict, time], answer);
}

function tell(text, answer = null, bad = false) {
  const status = $("status");
  status.classList.toggle("bad", bad);
  status.replaceChildren();
  if (Array.isArray(text)) {
    const strong = document.createElement("strong");
    strong.textContent = text[0];
    status.append(strong, ` · ${text[1]}`);
  } else status.textContent = text;
  $("json").textContent = answer ? compact(answer) : "";
}

function compact(answer) {
  // Lists of numbers are written on one line, so that the structure of the response stays visible.
  const flat = value => Array.isArray(value) && value.every(v => typeof v === "number");
  const kept = [];
  const text = JSON.stringify(answer, (_, v) => flat(v) && v.length ? `@${kept.push(v) - 1}@` : v, 2);
  return text.replace(/"@(\d+)@"/g, (_, i) => {
    const list = kept[i];
    return list.length > 8 ? `[${list.slice(0, 6).join(", ")}, ... ${list.length} numbers]` : `[${list.join(", ")}]`;
  });
}

function arrange() {
  const two = $("task").value === "verify";
  slots[1].root.hidden = !two;
  $("drops").classList.toggle("two", two);
  document.querySelectorAll(".one").forEach(e => { e.hidden = two; });
  const fitting = models.filter(m => m.task === TASKS[$("task").value]);
  $("model").replaceChildren(new Option("default", ""), ...fitting.map(m => new Option(m.name + (m.default ? " (default)" : ""), m.name)));
}

function key() {
  return $("key").value ? { Authorization: `Bearer ${$("key").value}` } : {};
}

async function listModels() {
  try {
    const response = await fetch("models", { headers: key() });
    if (response.status === 401) {
      $("locked").hidden = false;
      return tell("This service requires an API key. Enter it above.");
    }
    if (response.ok) { models = (await response.json()).models; return arrange(); }
  } catch { /* The service is not reachable; try again below. */ }
  setTimeout(listModels, 1500);
}

$("form").onsubmit = event => { event.preventDefault(); ask(); };
$("task").onchange = () => { $("threshold").value = ""; arrange(); ask(); };
for (const id of ["model", "min_face_size", "threshold", "orientation"]) $(id).onchange = ask;
$("key").onchange = async () => { await listModels(); ask(); };
$("example").onclick = async () => {
  const blob = await (await fetch("example.jpg")).blob();
  const file = new File([blob], "example.jpg", { type: "image/jpeg" });
  for (const s of slots) if ($("task").value === "verify" || s === slots[0]) {
    s.file = file; s.bitmap = await createImageBitmap(file);
  }
  ask();
};
addEventListener("paste", event => {
  const file = [...event.clipboardData.files].find(f => f.type.startsWith("image/"));
  if (file) give(slots.find(s => !s.file && !s.root.hidden) || slots[0], file);
});
arrange();
listModels();
