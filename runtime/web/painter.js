// The painter: a picture on which colors are painted. Gradio calls this once, with `element`,
// `props`, `trigger` and `watch`; `names` are the colors by their names. What it gives the server is a list of strokes, not pixels:
// {color: "#rrggbb" or null to erase, radius: pixels, points: [[x, y], ...]}.
const root = element.querySelector(".painter");
let value = null; // what the server sent: {id, picture, width, height, alt, strokes}
let strokes = [];
let undone = [];
let current = null; // the stroke that is being painted
let color = Object.values(names)[0];
let erasing = false;
let cursor = null; // of the keyboard
let wiped = false; // whether the next undo brings back all strokes
let before = []; // the strokes before they were cleared

root.innerHTML = `
  <div class="painter-tools" role="toolbar" aria-label="Brush">
    <span class="painter-colors" role="group" aria-label="Colors"></span>
    <label title="Any other color"><span class="painter-name">Other color</span>
      <input type="color" class="painter-any"></label>
    <button type="button" class="painter-eraser" aria-pressed="false">Eraser</button>
    <label>Brush <input type="range" class="painter-radius" min="2" max="60" value="8"></label>
    <button type="button" class="painter-undo" title="Ctrl+Z">Undo</button>
    <button type="button" class="painter-redo" title="Ctrl+Y">Redo</button>
    <button type="button" class="painter-clear">Clear</button>
    <label>Zoom <input type="range" class="painter-zoom" min="1" max="6" step="0.25" value="1">
    </label>
  </div>
  <div class="painter-stage"><div class="painter-sheet">
    <img class="painter-picture" alt="">
    <canvas class="painter-canvas" tabindex="0" role="img"></canvas>
  </div></div>
  <p class="painter-help">Paint with the mouse, a finger or a pen; with the keyboard, the arrow keys
    move the brush (Shift: far) and Space dabs.</p>`;

const one = (name) => root.querySelector(`.painter-${name}`);
const canvas = one("canvas");
const context = canvas.getContext("2d");

for (const [name, code] of Object.entries(names)) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "painter-color";
  button.style.background = code;
  button.title = name;
  button.setAttribute("aria-label", name);
  button.onclick = () => choose(code);
  one("colors").append(button);
}

function choose(code) {
  color = code;
  erasing = false;
  show();
}

function show() {
  for (const button of root.querySelectorAll(".painter-color")) {
    const chosen = !erasing && names[button.title] === color;
    button.setAttribute("aria-pressed", chosen);
  }
  one("any").value = color;
  one("eraser").setAttribute("aria-pressed", erasing);
  one("undo").disabled = !strokes.length && !wiped;
  one("redo").disabled = !undone.length;
  one("clear").disabled = !strokes.length;
  draw();
}

function draw() {
  context.clearRect(0, 0, canvas.width, canvas.height);
  for (const stroke of current ? [...strokes, current] : strokes) {
    context.globalCompositeOperation = stroke.color ? "source-over" : "destination-out";
    context.strokeStyle = context.fillStyle = stroke.color || "#000";
    context.lineWidth = 2 * stroke.radius;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    const [first, ...rest] = stroke.points;
    context.moveTo(...first);
    for (const point of rest.length ? rest : [first]) context.lineTo(...point);
    context.stroke();
  }
  context.globalCompositeOperation = "source-over";
  if (cursor && document.activeElement === canvas) {
    context.lineWidth = Math.max(1, canvas.width / 500);
    for (const [tone, extra] of [["#fff", 0], ["#000", context.lineWidth]]) {
      context.strokeStyle = tone;
      context.beginPath();
      context.arc(...cursor, radius() + extra, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}

function radius() {
  return Math.max(1, (Number(one("radius").value) * canvas.width) / 640);
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [
    Math.round(((event.clientX - box.left) * canvas.width) / box.width),
    Math.round(((event.clientY - box.top) * canvas.height) / box.height),
  ];
}

function begin(point) {
  current = {
    color: erasing ? null : color,
    radius: Math.round(radius() * 10) / 10,
    points: [point],
  };
  draw();
}

function finish() {
  if (!current) return;
  strokes.push(current);
  current = null;
  undone = [];
  wiped = false;
  tell();
}

function tell() {
  show();
  props.value = { id: value.id, strokes };
  trigger("painted");
}

canvas.onpointerdown = (event) => {
  if (!value || event.button) return;
  canvas.setPointerCapture(event.pointerId);
  cursor = null;
  begin(place(event));
};
canvas.onpointermove = (event) => {
  if (!current) return;
  for (const each of event.getCoalescedEvents?.() || [event]) {
    const point = place(each);
    const last = current.points[current.points.length - 1];
    if (Math.hypot(point[0] - last[0], point[1] - last[1]) >= 2) current.points.push(point);
  }
  draw();
};
canvas.onpointerup = finish;
canvas.onpointercancel = finish;
canvas.onfocus = canvas.onblur = draw;

canvas.onkeydown = (event) => {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (!value || event.ctrlKey || event.metaKey) return;
  if (steps[event.key]) {
    const far = (canvas.width / 160) * (event.shiftKey ? 8 : 1);
    cursor = cursor || [canvas.width / 2, canvas.height / 2];
    cursor = cursor.map((at, axis) => {
      const most = axis ? canvas.height : canvas.width;
      return Math.round(Math.min(most - 1, Math.max(0, at + far * steps[event.key][axis])));
    });
    draw();
  } else if (event.key === " " && cursor) {
    begin(cursor);
    finish();
  } else return;
  event.preventDefault();
};
root.onkeydown = (event) => {
  if (!(event.ctrlKey || event.metaKey)) return;
  if (event.key === "z" && !event.shiftKey) undo();
  else if (event.key === "y" || event.key === "Z") redo();
  else return;
  event.preventDefault();
};

function undo() {
  if (wiped) {
    strokes = before;
    wiped = false;
  } else if (strokes.length) undone.push(strokes.pop());
  else return;
  tell();
}

function redo() {
  if (!undone.length) return;
  strokes.push(undone.pop());
  tell();
}

one("undo").onclick = undo;
one("redo").onclick = redo;
one("clear").onclick = () => {
  before = strokes;
  strokes = [];
  undone = [];
  wiped = true;
  tell();
};
one("eraser").onclick = () => {
  erasing = !erasing;
  show();
};
one("any").oninput = (event) => choose(event.target.value);
one("zoom").oninput = (event) => {
  one("sheet").style.width = `${100 * event.target.value}%`;
};

function receive() {
  const sent = props.value;
  if (!sent || !sent.picture) return; // our own strokes
  value = sent;
  strokes = sent.strokes.slice();
  undone = [];
  wiped = false;
  cursor = null;
  canvas.width = sent.width;
  canvas.height = sent.height;
  one("sheet").style.aspectRatio = `${sent.width} / ${sent.height}`;
  one("sheet").style.maxHeight = "";
  one("picture").src = sent.picture.url;
  one("picture").alt = sent.alt;
  canvas.setAttribute("aria-label", `Paint colors on ${sent.alt}`);
  show();
}

watch("value", receive);
receive();
show();
