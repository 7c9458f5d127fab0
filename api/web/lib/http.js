/** HTTP with tokens: problem documents become errors, an expired token is refreshed once and the call repeated. */

/** The server's refusal (RFC 9457). */
export class Problem extends Error {
  constructor(status, problem, retryAfterMs = null) {
    super(problem.detail || problem.title || `The server answered ${status}`);
    this.name = "Problem";
    this.status = status;
    this.code = problem.code ?? null;
    this.errors = problem.errors ?? [];
    this.serverTime = problem.server_time ?? null;
    this.retryAfterMs = problem.retry_after_ms ?? retryAfterMs;
  }
}

/** No answer: the network, the server, or the time limit. The outcome is unknown. */
export class Unreachable extends Error {
  constructor(cause) {
    super("The server cannot be reached", { cause });
    this.name = "Unreachable";
  }
}

/** There is no session, or it was ended elsewhere. */
export class SignedOut extends Error {
  constructor() {
    super("Signed out");
    this.name = "SignedOut";
  }
}

const EARLY_MS = 30_000; // a token this close to its end is not worth a request
const LIMIT_MS = 20_000;

export class Http {
  #base;
  #fetch;
  #now;
  #refreshing = null;

  /** `base` is "" on the page itself, else "https://host". */
  constructor({ base = "", session, fetch = globalThis.fetch, now = Date.now }) {
    this.#base = base;
    this.#fetch = (...args) => fetch(...args);
    this.#now = now;
    this.session = session;
  }

  /**
   * Answers `{status, data}`; raises Problem, Unreachable or SignedOut. options: body (JSON value), query (object; null
   * and undefined left out), auth (default true), minPosition ("partition:offset").
   */
  async request(method, path, options = {}) {
    const { auth = true } = options;
    if (!auth) return this.#once(method, path, options, null);
    return this.authorized((token) => this.#once(method, path, options, token));
  }

  /** `call(token)`, once more with a fresh token where the server refused the first. */
  async authorized(call) {
    const { token } = await this.token();
    try {
      return await call(token);
    } catch (error) {
      if (!(error instanceof Problem && error.code === "bad_token")) throw error;
      const fresh = await this.token({ refused: token });
      return call(fresh.token);
    }
  }

  /**
   * A token that should work, as `{token, expiresAt}`; never the `refused` one. Raises SignedOut, Unreachable, Problem.
   */
  async token({ refused = null } = {}) {
    this.session.reload();
    const held = this.session.value;
    if (!held) throw new SignedOut();
    const good = held.accessToken !== refused && held.expiresAt - this.#now() > EARLY_MS;
    if (!good) {
      this.#refreshing ??= this.#refresh(held).finally(() => {
        this.#refreshing = null;
      });
      await this.#refreshing;
    }
    const { accessToken, expiresAt } = this.session.value ?? {};
    if (!accessToken) throw new SignedOut();
    return { token: accessToken, expiresAt };
  }

  async #refresh(held) {
    const body = { refresh_token: held.refreshToken, request_id: held.requestId };
    try {
      const { data } = await this.#once("POST", "/v1/auth/refresh", { body }, null);
      this.session.adopt(data);
    } catch (error) {
      if (!(error instanceof Problem && error.status === 401)) throw error;
      this.session.reload(); // another tab may have been faster, then its tokens are in the storage by now
      if (this.session.value?.refreshToken === held.refreshToken) this.session.clear();
    }
  }

  async #once(method, path, { body, query, minPosition }, token) {
    const headers = { Accept: "application/json" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (token) headers.Authorization = `Bearer ${token}`;
    if (minPosition) headers["Tidings-Min-Position"] = minPosition;
    let response;
    let text;
    try {
      response = await this.#fetch(this.#base + path + queryString(query), {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        signal: AbortSignal.timeout(LIMIT_MS),
      });
      text = await response.text();
    } catch (error) {
      throw new Unreachable(error);
    }
    const data = parse(text);
    if (response.ok) return { status: response.status, data };
    const wait = Number.parseFloat(response.headers.get("Retry-After") ?? "");
    throw new Problem(response.status, data ?? {}, Number.isFinite(wait) ? wait * 1000 : null);
  }
}

function queryString(query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

function parse(text) {
  if (!text) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null; // a proxy's HTML page: the status alone must do
  }
}
