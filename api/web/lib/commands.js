/** What one does to chats. Events tell the outcome; where none will, the chat is read again. Errors as in http.js. */

export class Commands {
  #api;
  #store;
  #connection;
  #newId;

  constructor({ api, store, connection, newId }) {
    this.#api = api;
    this.#store = store;
    this.#connection = connection;
    this.#newId = newId;
  }

  async createDirect(userId) {
    return this.#created(await this.#api.createDirect(userId));
  }

  /** `{title, member_ids, open?, history?}`. The id is ours, so a repeat after a lost answer makes no second group. */
  async createGroup({ chat_id = this.#newId(), ...rest }) {
    return this.#created(await this.#api.createGroup({ chat_id, ...rest }));
  }

  async join(chatId) {
    const { position } = await this.#api.join(chatId);
    return this.#read(chatId, position);
  }

  /** `{title?, open?}` */
  change(chatId, body) {
    return this.#settle(chatId, this.#api.changeChat(chatId, body));
  }

  addMembers(chatId, userIds) {
    return this.#settle(chatId, this.#api.addMembers(chatId, userIds));
  }

  removeMember(chatId, userId) {
    return this.#settle(chatId, this.#api.removeMember(chatId, userId));
  }

  /** `role`: "admin", "member", or "owner" to hand the group over. */
  setRole(chatId, userId, role) {
    return this.#settle(chatId, this.#api.setRole(chatId, userId, role));
  }

  /** `until`: RFC 3339, or null to unmute. */
  async mute(chatId, until) {
    const { position } = await this.#api.mute(chatId, until);
    await this.#read(chatId, position);
  }

  async leave(chatId) {
    await this.#api.leave(chatId);
    if (this.#connection.state !== "online") this.#store.remove(chatId); // else `gone` is on its way
  }

  // While the fold is behind, the answer has only the chat's id and a position to wait for.
  async #created({ chat, chat_id: chatId, position }) {
    return chat ? this.#store.takeChat(chat) : this.#read(chatId, position);
  }

  async #settle(chatId, answer) {
    const { position } = await answer;
    if (this.#connection.state !== "online") await this.#read(chatId, position);
  }

  async #read(chatId, position) {
    const { chat } = await this.#api.chat(chatId, position);
    return this.#store.takeChat(chat);
  }
}
