"""The gateway: everything behind `GET /v1/ws`.

How the composition root builds it, in this order; `timers` is the running event loop, `now` the clock:

    presence_store = MemoryPresence(now)                                    # infra/memory/presence.py
    fanout = MemoryFanout()                                                 # infra/memory/fanout.py
    hub = Hub(views, fanout, sealer, progress, timers, mutes=accounts.mute_until)     # api/ws/hub.py
        # is the ChatSource of Commands and the receiver of fan-out (it advances `progress`, a FoldProgress)
    commands = Commands(log, hub, progress, outcomes, sealer, now)
    receipts = Receipts(commands, hub, log, timers, now)                    # commands/receipts.py
        # HTTP too: `await receipts.mark(user_id, chat_id, "read" | "delivered", up_to_seq) -> Position`
    presence = PresenceTracker(presence_store, fanout, timers, gateway_id=uuid7(now()))   # api/presence/
    acquaintance = Acquaintance(views)                                      # api/presence/; HTTP too:
        # `await PresenceQueries(presence_store, acquaintance).query(caller_id, user_ids) -> list[PresenceShape]`
    gateway = Gateway(                                                      # api/ws/gateway.py
        hub, commands, receipts, presence, acquaintance, tokens, limits, timers, now
    )
    sessions.ended.observers.append(gateway.session_ended)
    await gateway.start()        # before the runner starts: it attaches to fan-out
    Config(app, ws=protocol_class(gateway, origins))                        # api/ws/transport.py, for uvicorn
    await gateway.stop()         # after uvicorn has shut its connections down

`protocol_class` gives uvicorn one class for every upgrade: `/v1/ws` becomes a session, any other path is 404.
uvicorn's shutdown drains the sockets by itself (`reconnect`, then 1012). `gateway.counters` holds the figures
for /metrics, `api/ws/asyncapi.py` the document for /asyncapi.json: `asyncapi.document() -> dict`.
"""
