// What Gradio's slider lacks for those who do not see it or use no mouse: words and keys.
() => {
  const step = 24; // pixels that an arrow key moves it

  function move(handle, far) {
    const box = handle.getBoundingClientRect();
    const at = { view: window, bubbles: true, clientY: box.top + box.height / 2 };
    const left = box.left + box.width / 2;
    handle.dispatchEvent(new MouseEvent("mousedown", { ...at, clientX: left }));
    window.dispatchEvent(new MouseEvent("mousemove", { ...at, clientX: left + far }));
    window.dispatchEvent(new MouseEvent("mouseup", { ...at, clientX: left + far }));
  }

  function mend() {
    for (const picture of document.querySelectorAll('[data-testid="imageslider-image"]')) {
      const words = picture.classList.contains("fixed") ? "After, in color" : "Before";
      if (picture.alt !== words) picture.alt = words;
    }
    for (const handle of document.querySelectorAll('[data-testid="slider"]')) {
      if (handle.tabIndex === 0) continue;
      handle.tabIndex = 0;
      handle.setAttribute("role", "slider");
      handle.setAttribute("aria-label", "Before and after: the arrow keys move the border");
      handle.addEventListener("keydown", (event) => {
        const sign = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!sign) return;
        event.preventDefault();
        move(handle, sign * step);
      });
    }
  }

  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
  mend();
}
