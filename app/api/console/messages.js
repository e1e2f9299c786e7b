/**
 * All texts of the console, and how numbers, sizes and times are written.
 *
 * A text has places for values, {name}. A text with a number has two forms, "one" and "other", which its value
 * `count` selects. To translate the console, translate this table and set LANGUAGE.
 */

const LANGUAGE = "en";

const MESSAGES = {
  "app.name": "Facet",
  "app.privacy": "Photos are sent to this service only, which does not store them. The gallery keeps embeddings, not photos.",
  "loading": "Loading …",
  "none": "none",

  "nav.label": "Views",
  "nav.path": "Path",
  "nav.skip": "Skip to the content",
  "nav.try": "Try",
  "nav.identify": "Identify",
  "nav.people": "People",
  "nav.clusters": "Clusters",
  "nav.models": "Models",
  "nav.api": "API",

  "state.ready": "Ready",
  "state.degraded": "Degraded",
  "state.starting": "Starting",
  "state.unreachable": "Not reachable",

  "theme.label": "Colours",
  "theme.auto": "System colours",
  "theme.light": "Light",
  "theme.dark": "Dark",

  "key.button": "API key",
  "key.title": "API key",
  "key.about": "A service with API keys answers only requests that send one. The key is kept until this tab is closed. Leave the field empty to forget it.",
  "key.label": "Key",
  "key.save": "Use the key",
  "key.malformed": "The key has a space or a character that is not ASCII. Enter it as FACE_API_KEYS has it.",

  "notice.close": "Close",

  "error.title": "The request failed.",
  "error.retry": "Try again",
  "error.unreachable": "The service does not answer",
  "error.unreachable.detail": "Check that it runs and that the network reaches it.",
  "error.no_json": "The answer, with status {status}, is not from this service. A proxy may have sent it.",

  "dialog.cancel": "Cancel",
  "dialog.save": "Save",
  "dialog.type": "Type {word} to confirm",

  "json.title": "Answer as JSON",
  "json.more": "… {count} numbers",

  "photo.drop": "Drop or paste a photo, or choose one",
  "photo.none": "No photo yet",
  "photo.not_shown": "This browser cannot show a photo of this format.",
  "photo.faces": { one: "{count} face", other: "{count} faces" },
  "photos.not_taken": "Only photos are accepted. Not used: {names}.",
  "photos.first": "Only one photo is used: {name}.",
  "photos.stopped": {
    one: "Stopped: {done} of {count} photo was added.", other: "Stopped: {done} of {count} photos were added.",
  },
  "photos.added": "added, quality {quality}",
  "photos.duplicate": "this person has a copy of this face already",

  "face.score": "Score",
  "face.size": "Size",
  "face.pixels": "{width} × {height} px",
  "face.quality": "Quality",
  "face.quality.value": "Quality {quality}",
  "face.pose": "Pose",
  "face.angles": "yaw {yaw}°, pitch {pitch}°, roll {roll}°",
  "face.rotation": "Rotation",
  "face.degrees": "{degrees}°",
  "face.named": "face added {date}",
  "face.move": "Move",
  "face.move.title": "Move the face",
  "face.move.about": "The face leaves {name} and belongs to the other person.",
  "face.move.do": "Move",
  "face.moved": "The face belongs to {other} now.",
  "face.delete": "Delete",
  "face.delete.title": "Delete the face?",
  "face.delete.message": "The embedding of this face of {name} is erased. This cannot be undone.",
  "face.deleted": "The face is deleted.",

  "task.detect": "Detect",
  "task.landmarks": "Landmarks",
  "task.embed": "Embed",
  "task.verify": "Verify",

  "try.title": "Try",
  "try.about": "Send a photo and see what the service answers.",
  "try.tasks": "Tasks",
  "try.model": "Model",
  "try.model.default": "{name} (default)",
  "try.min_face_size": "Smallest face (px)",
  "try.threshold": "Threshold",
  "try.threshold.default": "default",
  "try.orientation": "Orientation",
  "orientation.upright": "upright",
  "orientation.auto": "auto",
  "try.example": "Try an example",
  "try.drop.0": "Drop or paste the first photo, or choose one",
  "try.drop.1": "Drop the second photo, or choose one",
  "try.one": "Drop, paste or choose a photo.",
  "try.two": "Drop, paste or choose two photos to compare.",
  "try.running": "Working …",
  "try.timing": "{milliseconds} ms, {model}",

  "verify.same": "Same person",
  "verify.different": "Different people",
  "verify.similarity": "Similarity",
  "verify.threshold": "Threshold",
  "verify.far": "False accept rate",
  "verify.own_threshold": "unknown for a custom threshold",
  "verify.scale": "Similarity {similarity} on a scale from 0 to 1, threshold {threshold}",
  "verify.probability": "Probability",

  "identify.title": "Identify",
  "identify.about": "Find out who the people in a photo are. Strangers stay unknown.",
  "identify.collection": "Collection",
  "identify.fpir": "Strangers taken for somebody",
  "identify.fpir.0.1": "1 in 10",
  "identify.fpir.0.01": "1 in 100",
  "identify.fpir.0.001": "1 in 1,000",
  "identify.no_collection": "There is no collection to search in. Create one and add people.",
  "identify.open": "Open {name}",
  "identify.found": "{count} of {faces} recognised",
  "identify.threshold": "Similarity of {threshold} or more, compared with {faces} stored faces, {milliseconds} ms",
  "identify.unknown": "Unknown",
  "identify.candidates": "Most similar people",
  "identify.who": "Name of this person",
  "identify.no_name": "Enter a name first.",
  "identify.enrol": "Add the face",
  "identify.enrolled": "The face is added to {name}.",
  "identify.duplicate": "{name} has a copy of this face already.",

  "collections.title": "People",
  "collections.about": "A collection has people, and each person has faces. Requests search one collection.",
  "collections.empty": "There is no collection yet.",
  "collections.people": { one: "{count} person", other: "{count} people" },
  "collections.faces": { one: "{count} face", other: "{count} faces" },
  "collections.details": "Embedder {model}, created {created}",
  "collections.unusable": "not usable",
  "collections.unusable.about": "The loaded models make other embeddings than those of this collection. It can be exported and deleted. Enrol its people again in a new collection.",
  "collections.identify": "Identify",
  "collections.export": "Export",
  "collections.create": "New collection",
  "collections.create.do": "Create",
  "collections.name": "Name",
  "collections.name.rule": "Letters, digits, dots, hyphens and underscores; at most 64",
  "collections.model": "Embedder",
  "collections.model.about": "It cannot be changed later.",
  "collections.delete": "Delete",
  "collections.delete.named": "Delete {name}",
  "collections.delete.title": "Delete {name}?",
  "collections.delete.message": "All people ({people}) and faces ({faces}) are erased. This cannot be undone.",
  "collections.deleted": "{name} is deleted.",

  "collection.search": "Search by name",
  "collection.more": "Show more",
  "collection.empty": "This collection has no people yet.",
  "collection.found": { one: "{count} person is shown.", other: "{count} people are shown." },
  "collection.nobody": "No person has this text in the name.",

  "import.title": "Import into {name}",
  "import.about": "The file is an export of a collection with the same embedder. Either all its people are added, or none.",
  "import.file": "File with JSON lines",
  "import.do": "Import",
  "import.done": "People added: {people}. Faces added: {faces}.",

  "person.unnamed": "Unnamed {id}",
  "person.several": "Several people are called {name}. Choose one from the suggestions, which have their ids.",
  "person.of_several": "{name} ({id})",
  "person.since": "since {date}",
  "person.id": "Id",
  "person.created": "Added",
  "person.expires": "Deleted automatically",
  "person.name": "Name",
  "person.external_id": "External id",
  "person.external_id.about": "The id of the person in your own system; unique in the collection",
  "person.metadata": "Metadata",
  "person.metadata.about": "A JSON object, or nothing",
  "person.metadata.malformed": "The metadata is not valid JSON: {reason}",
  "person.add": "Add a person",
  "person.add.do": "Add",
  "person.photos": "Drop or choose photos of the person",
  "person.added": { one: "{name} is added with {count} face.", other: "{name} is added with {count} faces." },
  "person.drop": "Drop, paste or choose photos of {name}. The largest face of each is added.",
  "person.no_faces": "This person has no faces yet, and cannot be recognised.",
  "person.crops": "Photos are not stored. Pictures are shown for faces that were added in this tab.",
  "person.edit": "Edit",
  "person.edit.title": "Edit {name}",
  "person.other": "Other person",
  "person.other.unknown": "Choose a person of this collection from the list.",
  "person.merge": "Merge",
  "person.merge.title": "Merge {name} into another person",
  "person.merge.about": "The other person gets all faces of {name}. {name} is deleted.",
  "person.merge.do": "Merge",
  "person.merged": "{name} is merged into {other}.",
  "person.delete": "Delete",
  "person.delete.title": "Delete {name}?",
  "person.delete.message": {
    one: "The person and {count} face are erased. This cannot be undone.",
    other: "The person and {count} faces are erased. This cannot be undone.",
  },
  "person.deleted": "{name} is deleted.",

  "clusters.title": "Clusters",
  "clusters.about": "Group the faces of many photos by person, name the groups, and add them to a collection.",
  "clusters.drop": "Drop, paste or choose photos",
  "clusters.photos": { one: "{count} photo, {size}", other: "{count} photos, {size}" },
  "clusters.none": "No photos yet.",
  "clusters.threshold": "Minimum similarity",
  "clusters.run": "Group the faces",
  "clusters.clear": "Clear",
  "clusters.running": { one: "Working on {count} photo …", other: "Working on {count} photos …" },
  "clusters.found": {
    one: "{count} group in {faces} faces; {single} without a group",
    other: "{count} groups in {faces} faces; {single} without a group",
  },
  "clusters.refused": { one: "{count} photo could not be used", other: "{count} photos could not be used" },
  "clusters.without": { one: "{count} photo has no face", other: "{count} photos have no face" },
  "clusters.single": { one: "{count} face without a group", other: "{count} faces without a group" },
  "clusters.no_groups": "No two faces look like the same person.",
  "clusters.collection": "Collection",
  "clusters.no_collection": "Choose or create a collection first.",
  "clusters.enrol": "Add to the collection",
  "clusters.enrol_named": "Add all named groups",
  "clusters.group": "Group {number}",
  "clusters.face": "Face {number}",
  "clusters.pick": "Use the face in {name}",
  "clusters.name": "Name of {group}",
  "clusters.no_names": "Enter a name for at least one group first.",
  "clusters.all": { one: "{added} of {count} named group is added.", other: "{added} of {count} named groups are added." },
  "clusters.no_name": "Enter a name for the group first.",
  "clusters.no_faces": "Select at least one face of the group.",
  "clusters.progress": "{done} of {count}",
  "clusters.enrolled": "Added: {added}. Copies of stored faces: {duplicates}. Refused: {refused}.",

  "models.title": "Models",
  "models.about": "Facet {version}, ONNX Runtime {onnxruntime}, Python {python}",
  "models.weights.all": "This service may use all weights, also those that are for research only. The defaults are free.",
  "models.weights.free": "This service uses free weights only.",
  "models.task.detect": "Detectors",
  "models.task.landmarks": "Landmark models",
  "models.task.embed": "Embedders",
  "models.default": "default",
  "models.research_only": "research only",
  "models.licence": "Licence",
  "models.source": "Source",
  "models.size": "Size",
  "models.provider": "Runs on",
  "models.runs": "{provider}, {precision}",
  "models.scheme": "Points",
  "models.parts": "Parts",
  "models.dimension": "Embedding",
  "models.metric": "{dimension} numbers, {metric}",
  "models.calibrated_on": "Calibrated on",
  "models.rates": "Thresholds. The one in bold is the default.",
  "models.far": "False accept rate",
  "models.threshold": "Threshold",
  "models.tar": "True accept rate",
  "models.sha256": "SHA-256 {value}",
};

const RIGHT_TO_LEFT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u;
const plurals = new Intl.PluralRules(LANGUAGE);
const times = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "medium", timeStyle: "short" });

/**
 * Return a text of the table with its values.
 *
 * @param {string} key - its key.
 * @param {Object} [values] - the values of its places. Numbers are written as the language does.
 */
export function text(key, values = {}) {
  const message = MESSAGES[key];
  if (message === undefined) throw new Error(`The table of texts has no ${key}.`);
  const form = typeof message === "string" ? message : message[plurals.select(values.count)];
  return form.replace(/\{(\w+)\}/g, (_, name) =>
    typeof values[name] === "number" ? number(values[name], 0) : isolated(String(values[name])));
}

/** Return a value whose direction does not change the order of the words around it. */
function isolated(value) {
  return RIGHT_TO_LEFT.test(value) ? `\u2068${value}\u2069` : value;
}

/** Return a number as text, with so many digits after the point. */
export function number(value, digits) {
  return new Intl.NumberFormat(LANGUAGE, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

/** Return a rate, such as 0.00003, as text with its first significant digits. */
export function rate(value) {
  return new Intl.NumberFormat(LANGUAGE, { maximumSignificantDigits: 3 }).format(value);
}

/** Return a number of bytes as text. */
export function bytes(count) {
  const unit = count < 1 << 20 ? ["kilobyte", 1 << 10] : ["megabyte", 1 << 20];
  return new Intl.NumberFormat(LANGUAGE, { style: "unit", unit: unit[0], maximumFractionDigits: 1 }).format(count / unit[1]);
}

/** Return a time of RFC 3339 as text, in the reader's time zone. */
export function date(value) {
  return times.format(new Date(value));
}
