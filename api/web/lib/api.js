/** The HTTP calls of the contract by name. Each answers the body; errors as in http.js. */

const id = encodeURIComponent;

export function createApi(http) {
  const call = async (method, path, options) => (await http.request(method, path, options)).data;
  const open = (path, body) => call(body === undefined ? "GET" : "POST", path, { body, auth: false });
  const chat = (chatId, rest = "") => `/v1/chats/${id(chatId)}${rest}`;
  return {
    info: () => open("/v1/info"),
    register: (body) => open("/v1/auth/register", body),
    login: (username, password) => open("/v1/auth/login", { username, password }),
    demoLogin: (code) => open("/v1/demo/login", { code }),
    logout: (refreshToken) => call("POST", "/v1/auth/logout", { body: { refresh_token: refreshToken } }),

    me: () => call("GET", "/v1/me"),
    changeMe: (body) => call("PATCH", "/v1/me", { body }),
    eraseMe: (password) => call("DELETE", "/v1/me", { body: { password } }),
    changePassword: (old, fresh) => call("POST", "/v1/me/password", { body: { old, new: fresh } }),
    sessions: () => call("GET", "/v1/sessions"),
    endSession: (sessionId) => call("DELETE", `/v1/sessions/${id(sessionId)}`),
    searchUsers: (query, limit = 20) => call("GET", "/v1/users", { query: { query, limit } }),
    usersById: (userIds) => call("POST", "/v1/users/query", { body: { user_ids: userIds } }),

    chats: (cursor, limit) => call("GET", "/v1/chats", { query: { cursor, limit } }),
    chat: (chatId, minPosition) => call("GET", chat(chatId), { minPosition }),
    createDirect: (userId) => call("PUT", `/v1/chats/direct/${id(userId)}`),
    createGroup: (body) => call("POST", "/v1/chats", { body }),
    changeChat: (chatId, body) => call("PATCH", chat(chatId), { body }),
    join: (chatId) => call("POST", chat(chatId, "/join")),
    leave: (chatId) => call("POST", chat(chatId, "/leave")),
    mute: (chatId, until) => call("PUT", chat(chatId, "/mute"), { body: { until } }),
    members: (chatId, cursor, limit) => call("GET", chat(chatId, "/members"), { query: { cursor, limit } }),
    addMembers: (chatId, userIds) => call("POST", chat(chatId, "/members"), { body: { user_ids: userIds } }),
    removeMember: (chatId, userId) => call("DELETE", chat(chatId, `/members/${id(userId)}`)),
    setRole: (chatId, userId, role) => call("PUT", chat(chatId, `/members/${id(userId)}/role`), { body: { role } }),

    events: (chatId, afterSeq, limit) =>
      call("GET", chat(chatId, "/events"), { query: { after_seq: afterSeq, limit } }),
    messages: (chatId, query) => call("GET", chat(chatId, "/messages"), { query }),
    message: (chatId, messageId) => call("GET", chat(chatId, `/messages/${id(messageId)}`)),
    fileUrl: (fileId) => call("GET", `/v1/files/${id(fileId)}/url`),
    receipts: (chatId) => call("GET", chat(chatId, "/receipts")),
  };
}
