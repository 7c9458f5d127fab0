import assert from "node:assert/strict";
import test from "node:test";

import { Http, Problem, SignedOut, Unreachable } from "../../api/web/lib/http.js";
import { MemoryStorage, Session } from "../../api/web/lib/session.js";

/** An Http whose server is `answer(request)` → `[status, body, headers?]`, and the requests that it saw. */
function given({ answer, storage = new MemoryStorage(), now = () => 0 }) {
  const seen = [];
  let minted = 0;
  const session = new Session({ storage, newId: () => `request-${(minted += 1)}`, now });
  const fetch = async (url, init) => {
    const request = { url, ...init, body: init.body ? JSON.parse(init.body) : undefined };
    seen.push(request);
    const [status, body, headers] = await answer(request);
    return new Response(body === null ? null : JSON.stringify(body), { status, headers });
  };
  return { http: new Http({ session, fetch, now }), session, seen, storage };
}

function tokens(number, expiresIn = 900) {
  return {
    user: { user_id: "ana", username: "ana", display_name: "Ana" },
    access_token: `access-${number}`,
    refresh_token: `refresh-${number}`,
    expires_in: expiresIn,
  };
}

const expired = [401, { type: "about:blank", title: "Unauthorized", status: 401, code: "bad_token" }];

test("a problem document becomes an error with its code", async () => {
  const { http } = given({
    answer: () => [422, { code: "invalid", title: "Invalid", errors: [{ field: "title", message: "too long" }] }],
  });
  await assert.rejects(http.request("GET", "/v1/info", { auth: false }), (error) => {
    assert.ok(error instanceof Problem);
    assert.deepEqual([error.status, error.code, error.errors[0].field], [422, "invalid", "title"]);
    return true;
  });
});

test("a page of a proxy that is no JSON still gives its status", async () => {
  const { http } = given({ answer: () => [502, null] });
  await assert.rejects(http.request("GET", "/v1/info", { auth: false }), { name: "Problem", status: 502, code: null });
});

test("Retry-After tells how long to wait", async () => {
  const { http } = given({ answer: () => [429, { code: "rate_limited" }, { "Retry-After": "7" }] });
  await assert.rejects(http.request("GET", "/v1/info", { auth: false }), { retryAfterMs: 7_000 });
});

test("no answer is Unreachable", async () => {
  const { http } = given({
    answer: () => {
      throw new TypeError("fetch failed");
    },
  });
  await assert.rejects(http.request("GET", "/v1/info", { auth: false }), Unreachable);
});

test("an expired token is renewed once and the call repeated with the new one", async () => {
  const { http, session, seen } = given({
    answer: ({ url, headers }) => {
      if (url === "/v1/auth/refresh") return [200, tokens(2)];
      return headers.Authorization === "Bearer access-2" ? [200, { ok: true }] : expired;
    },
  });
  session.adopt(tokens(1));
  const { data } = await http.request("GET", "/v1/me");
  assert.deepEqual(data, { ok: true });
  assert.deepEqual(
    seen.map(({ url }) => url),
    ["/v1/me", "/v1/auth/refresh", "/v1/me"],
  );
});

test("calls that meet an expired token together share one refresh", async () => {
  const { http, session, seen } = given({
    answer: ({ url }) => (url === "/v1/auth/refresh" ? [200, tokens(2)] : [200, {}]),
  });
  session.adopt(tokens(1, 10)); // ten seconds: not worth using
  await Promise.all([http.request("GET", "/v1/me"), http.request("GET", "/v1/chats"), http.token()]);
  assert.equal(seen.filter(({ url }) => url === "/v1/auth/refresh").length, 1);
});

test("a refresh whose reply was lost is repeated with the same request id, by another page too", async () => {
  const storage = new MemoryStorage();
  const first = given({
    storage,
    answer: () => {
      throw new TypeError("connection reset");
    },
  });
  first.session.adopt(tokens(1, 0));
  await assert.rejects(first.http.token(), Unreachable);
  const second = given({ storage, answer: () => [200, tokens(2)] });
  await second.http.token();
  assert.deepEqual(second.seen[0].body, first.seen[0].body);
});

test("a token that another tab renewed is taken over without a refresh", async () => {
  const { http, session, seen, storage } = given({ answer: () => [200, {}] });
  session.adopt(tokens(1));
  const other = new Session({ storage, newId: () => "x", now: () => 0 });
  other.adopt(tokens(2));
  assert.equal((await http.token({ refused: "access-1" })).token, "access-2");
  assert.equal(seen.length, 0);
});

test("a refused refresh ends the session", async () => {
  const { http, session } = given({ answer: () => expired });
  session.adopt(tokens(1, 0));
  const heard = [];
  session.on("change", (value) => heard.push(value));
  await assert.rejects(http.request("GET", "/v1/me"), SignedOut);
  assert.deepEqual(heard, [null]);
  assert.equal(session.user, null);
});

test("a server in trouble ends no session", async () => {
  const { http, session } = given({ answer: () => [503, { code: "unavailable" }] });
  session.adopt(tokens(1, 0));
  await assert.rejects(http.request("GET", "/v1/me"), { code: "unavailable" });
  assert.equal(session.user.user_id, "ana");
});

test("a stored session that is no JSON is no session", () => {
  const storage = new MemoryStorage();
  storage.setItem("tidings:session", "{broken");
  assert.equal(new Session({ storage, newId: () => "x" }).value, null);
});
