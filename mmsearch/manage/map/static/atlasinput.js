// Moves a map by mouse, touch and keys, and draws lassos.

const STEP = 80; // pixels a key moves
const FACTOR = 1.5; // that a key or button zooms by
const STILL = 5; // pixels up to which a press is a click

/** `actions`: hover(point), pick(point), select(points), clear(); `lassoing()` says what one finger does. */
export function listen(view, { hover, pick, select, clear, lassoing }) {
  const { canvas } = view;
  const pressed = new Map(); // id of a pointer -> where it is
  let [start, moved, drawing, spread] = [null, false, false, 0];
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const apart = () => {
    const [[ax, ay], [bx, by]] = [...pressed.values()];
    return { distance: Math.hypot(ax - bx, ay - by), x: (ax + bx) / 2, y: (ay + by) / 2 };
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    canvas.setPointerCapture(event.pointerId);
    pressed.set(event.pointerId, place(event));
    if (pressed.size === 1) {
      [start, moved] = [place(event), false];
      drawing = lassoing() || event.shiftKey;
      if (drawing) view.lasso = [view.toMap(...start)];
    } else if (pressed.size === 2) {
      drawing = false;
      view.lasso = null;
      spread = apart();
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = place(event);
    const before = pressed.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") hover(view.at(...now));
      return;
    }
    pressed.set(event.pointerId, now);
    if (pressed.size === 2) {
      const is = apart();
      view.pan(is.x - spread.x, is.y - spread.y);
      view.zoomBy(is.distance / Math.max(spread.distance, 1), is.x, is.y);
      [spread, moved] = [is, true];
    } else if (pressed.size === 1) {
      moved ||= Math.hypot(now[0] - start[0], now[1] - start[1]) > STILL;
      if (drawing) view.lasso.push(view.toMap(...now));
      if (drawing) view.draw();
      else if (moved) view.pan(now[0] - before[0], now[1] - before[1]);
    }
  });
  const end = (event) => {
    if (!pressed.delete(event.pointerId)) return;
    if (pressed.size) {
      moved = true; // the finger that is left moves on
      return;
    }
    const lasso = view.lasso;
    view.lasso = null;
    if (drawing && moved && lasso?.length > 2) select(view.points.inside(lasso));
    else if (!moved && event.type === "pointerup") pick(view.at(...place(event)));
    drawing = false;
    view.draw();
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("pointerleave", (event) => pressed.size || event.pointerType === "touch" || hover(-1));
  canvas.addEventListener("dblclick", (event) => view.zoomBy(2, ...place(event)));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 200 : 1);
    view.zoomBy(Math.exp(-Math.max(-400, Math.min(400, pixels)) * 0.0022), ...place(event));
  }, { passive: false });
  const keys = {
    ArrowLeft: () => view.pan(STEP, 0),
    ArrowRight: () => view.pan(-STEP, 0),
    ArrowUp: () => view.pan(0, STEP),
    ArrowDown: () => view.pan(0, -STEP),
    "+": () => view.zoomBy(FACTOR),
    "=": () => view.zoomBy(FACTOR),
    "-": () => view.zoomBy(1 / FACTOR),
    0: () => view.fit(),
    Home: () => view.fit(),
    Enter: () => pick(view.points.nearest(view.x, view.y, 200 / view.scale)),
    Escape: () => clear(),
  };
  canvas.addEventListener("keydown", (event) => {
    const action = event.ctrlKey || event.metaKey || event.altKey ? null : keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
