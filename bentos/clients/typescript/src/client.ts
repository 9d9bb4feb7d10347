/**
 * A small typed client of the door; its methods, one an endpoint, are in methods.ts.
 *
 * Each request may be sent more than once: after a lost connection, 429, 503 or 504 the client tries again, when
 * `Retry-After` says or a little later each time. Entries of a write get ids, which make their repetition harmless.
 * It keeps what the Python client keeps (bentos/client.py); tests/bentos/clients holds both to the same cases.
 */

import { Methods } from "./methods.js";

export * from "./methods.js";

const RETRIES = 2; // after the first try
const AGAIN = [429, 503, 504]; // statuses that a later try may not meet
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5_000; // a service that asks for more patience is answered by an error
const TIMEOUT_MS = 10_000;

/** Why a request was refused: one line, the place in the request, what is allowed there. */
export interface Problem {
  error: string;
  where: string;
  allowed: string;
}

/** The service refused a request, or failed at it. */
export class Unanswered extends Error {
  readonly status: number;
  readonly problem: Problem;

  constructor(status: number, problem: Problem) {
    super(problem.error);
    this.name = "Unanswered";
    this.status = status;
    this.problem = problem;
  }
}

export interface Options {
  /** Of a server or a user. It does not belong into a page that others see. */
  apiKey?: string;
  /** A bearer token, instead. */
  token?: string;
  /** The page's that a page's key was made for; browsers say it by themselves. */
  origin?: string;
  timeoutMs?: number;
  retries?: number;
  /** Returns the W3C header of the trace to carry on. */
  traceparent?: () => string | undefined;
}

/** Asks one service. */
export class Recommender extends Methods {
  readonly url: string;
  private readonly options: Options;

  constructor(url: string, options: Options = {}) {
    super();
    this.url = url.replace(/\/+$/, "");
    this.options = options;
  }

  /** Tell whether the service takes requests. */
  async ready(): Promise<boolean> {
    try {
      return (await fetch(`${this.url}/readyz`, { signal: this.patience() })).ok;
    } catch {
      return false;
    }
  }

  protected async ask<Answer>(method: string, path: string, body: object, entries = ""): Promise<Answer> {
    const reply = await this.sent(method, path, JSON.stringify(entries ? identified(body, entries) : body));
    const text = await reply.text();
    if (!reply.ok) throw new Unanswered(reply.status, problemOf(reply, text));
    return JSON.parse(text) as Answer;
  }

  /** Send a body, again where that may help; return the last reply or throw what the last try threw. */
  private async sent(method: string, path: string, body: string): Promise<Response> {
    const retries = this.options.retries ?? RETRIES;
    for (let tried = 0; ; tried += 1) {
      let reply: Response | undefined;
      let lost: unknown;
      try {
        reply = await fetch(this.url + path, { method, body, headers: this.headers(), signal: this.patience() });
      } catch (error) {
        lost = error;
      }
      const pause = pauseMs(reply, tried);
      const ends = tried >= retries || pause > LONGEST_PAUSE_MS;
      if (reply && (ends || !AGAIN.includes(reply.status))) return reply;
      if (ends) throw lost;
      await reply?.body?.cancel();
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  private headers(): Record<string, string> {
    const { apiKey, token, origin, traceparent } = this.options;
    const headers: Record<string, string> = { "Content-Type": "application/json" };
    if (apiKey !== undefined) headers["X-API-Key"] = apiKey;
    if (token !== undefined) headers["Authorization"] = `Bearer ${token}`;
    if (origin !== undefined) headers["Origin"] = origin;
    const trace = traceparent?.();
    if (trace) headers["traceparent"] = trace;
    return headers;
  }

  private patience(): AbortSignal {
    return AbortSignal.timeout(this.options.timeoutMs ?? TIMEOUT_MS);
  }
}

/** Give each entry of a write an id if it has none, so that a request whose answer was lost is safe to repeat. */
function identified(body: object, entries: string): object {
  const given = (body as Record<string, unknown>)[entries];
  if (!Array.isArray(given)) return body;
  const named = (one: { event_id?: unknown }) => (one.event_id ? one : { ...one, event_id: crypto.randomUUID() });
  return { ...body, [entries]: given.map(named) };
}

/** Return how long the last reply asks to wait, or a little longer each time. */
function pauseMs(reply: Response | undefined, tried: number): number {
  const said = reply?.headers.get("Retry-After") ?? "";
  return /^\d+$/.test(said) ? Number(said) * 1_000 : FIRST_PAUSE_MS * 2 ** tried;
}

/** Read a refusal; what stands before the service may answer in other words. */
function problemOf(reply: Response, text: string): Problem {
  try {
    const found = JSON.parse(text) as Partial<Problem>;
    if (typeof found.error === "string" && typeof found.where === "string" && typeof found.allowed === "string") {
      return { error: found.error, where: found.where, allowed: found.allowed };
    }
  } catch {
    // no JSON: told by its status
  }
  return { error: `${reply.status} ${reply.statusText}`, where: "service", allowed: "" };
}
