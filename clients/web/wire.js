// What the page says to the server that it came from, and hears from it.

const tokenField = document.getElementById("token");

// What the server says no with; its message names the fields that are wrong.
export class Failure extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

function headers() {
  const token = tokenField.value;
  return {"Content-Type": "application/json", ...(token && {"Authorization": `Bearer ${token}`})};
}

async function failureOf(response) {
  const body = await response.json().catch(() => ({}));
  const later = response.headers.get("Retry-After");
  const message = body.error?.message ?? `The server answers ${response.status}.`;
  return new Failure(later ? `${message}; come again in ${later} s` : message, response.status);
}

export async function get(path) {
  const response = await fetch(path, {headers: headers()});
  if (!response.ok) throw await failureOf(response);
  return response.json();
}

// The events of a stream: [name, data].
async function* eventsOf(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (true) {
    const {done, value} = await reader.read();
    if (done) return;
    text += value;
    let from = 0;
    for (let end; (end = text.indexOf("\n\n", from)) >= 0; from = end + 2) {
      let name = "message";
      let data = "";
      for (const line of text.slice(from, end).split("\n")) {
        if (line.startsWith("event: ")) name = line.slice(7);
        if (line.startsWith("data: ")) data += line.slice(6);
      }
      if (data) yield [name, data];
    }
    text = text.slice(from);
  }
}

// Sends a request, and gives its stream's events as [name, object] up to its end.
export async function* post(path, body, signal) {
  const response = await fetch(
    path, {method: "POST", headers: headers(), body: JSON.stringify(body), signal});
  if (!response.ok) throw await failureOf(response);
  for await (const [name, data] of eventsOf(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Failure(chunk.error.message, 0);
    yield [name, chunk];
  }
  throw new Failure("The connection ended before the answer did.", 0);
}
