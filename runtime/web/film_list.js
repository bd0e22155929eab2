// The list of films: each with its state and progress. Gradio calls this once; the server sends
// {films: [{id, name, text, share, busy}], current}, and gets {chosen: id}.
const root = element.querySelector(".films");

function show() {
  const sent = props.value;
  if (!sent || !sent.films) return;
  const focused = document.activeElement?.dataset?.film;
  root.replaceChildren();
  if (!sent.films.length) root.textContent = "None yet.";
  for (const film of sent.films) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "film";
    button.dataset.film = film.id;
    button.setAttribute("aria-pressed", film.id === sent.current);
    const name = document.createElement("strong");
    name.textContent = film.name;
    const text = document.createElement("span");
    text.textContent = film.text;
    button.append(name, text);
    if (film.share !== null && film.busy) {
      const bar = document.createElement("progress");
      bar.max = 1;
      bar.value = film.share;
      bar.setAttribute("aria-label", `Progress of ${film.name}`);
      button.append(bar);
    }
    button.onclick = () => {
      props.value = { chosen: film.id };
      trigger("chosen");
    };
    root.append(button);
    if (film.id === focused) button.focus();
  }
}

watch("value", show);
show();
