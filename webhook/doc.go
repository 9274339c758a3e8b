// Package webhook takes delivery of signed webhooks: each event is verified on
// the bytes that were sent, handled once, and acknowledged only when that is
// on record.
//
// A provider delivers at least once and gives up after a schedule of its own.
// [Middleware] stands between it and a handler:
//
//	read the raw body → verify → claim → call the handler → complete → answer
//
// # Order in the chain
//
// Put it directly before the handler, behind whatever assigns request ids,
// logs and limits: nothing that decodes, decompresses or re-writes the body
// may stand before it. One Middleware serves one route, because a route has
// one provider and one set of secrets.
//
// # What is promised
//
// A 2xx is given only for an event that is DONE in the [Store], DEAD by a status
// in Config.DiscardStatuses, or durably kept in an [Inbox]. Without faults the handler runs once per
// event however many copies arrive together. After a fault (a crash, a timeout,
// a handler that failed half way) it runs again, with a higher fence and, when
// the earlier outcome is unknown, with Handrail-Webhook-Maybe-Processed: true.
// A handler that stores Idempotency-Key together with its effect then has at
// most one effect per event, whatever fails.
//
// # The handler's side
//
// It gets the body byte for byte, the provider's headers untouched, and
//
//	Idempotency-Key: stripe/evt_1NG8Du2eZvKYlo2CUI79vXWy
//	Handrail-Webhook-Attempt: 2
//	Handrail-Webhook-Fence: 2
//	Handrail-Webhook-Maybe-Processed: true      (absent otherwise)
//	Handrail-Request-Verified: stripe
//
// Inbound headers of these names are removed first. A Go handler reads the
// same from [DeliveryFrom]. The call is detached from the client: a provider
// that hangs up does not end it, only Config.Timeout and Config.Drain do. Its
// answer is held back (up to 1 MiB; of a longer one only the status counts)
// until the store has recorded the outcome. A handler must return when the
// context of its request ends: one that does not is left behind after a second
// and its answer dropped.
//
// # Inbox mode
//
// With Config.Inbox a message is kept and acknowledged, and handled afterwards:
//
//	read the raw body → verify → keep → answer
//	take what is due → call the handler → complete, or put off
//
// The second line is [Middleware.Deliver], which runs as long as the service
// does. It is for handlers that are slower than the provider waits, for providers
// that never or seldom send again, and for messages that must be handled in
// order: see [InboxConfig]. An attempt that fails is followed by another after a
// pause, until one succeeds or the message is dead: by a status of
// DiscardStatuses, by InboxConfig.MaxAttempts or MaxAge. A dead message is kept
// for Config.Retention, or for longer where bodies are remembered (see Replays),
// and [Ledger.Revive] has it delivered again.
//
// What is kept is the message as it came, with its header: as confidential as
// the event itself, and as the Authorization header that some providers send. Not
// kept are headers of the connection, and those that the middleware sets.
//
// Messages without an id (Slack's commands, interactions and challenges) are
// handled at once, as without an inbox, since their answer is all that they are
// for. Discord uses every answer and cannot have an inbox. Twilio uses those to
// calls and incoming messages, and none of those to its status callbacks: an
// inbox is for a route of the latter alone.
//
// A provider's signature grows old while a message waits. For a handler that
// verifies again InboxConfig.Signer signs each attempt anew, where [CanSignFresh].
//
// # Answers
//
// Errors are {"error":code}, or problem+json when Accept asks for it. A 503
// comes with Retry-After.
//
//	2xx from the handler          its answer; 200 {"status":"processed"} when that is empty or above 1 MiB
//	done already                  200 {"status":"duplicate"}, or the answer of then with Config.ReplayAnswers
//	kept in the inbox             200 {"status":"accepted"}
//	in the inbox already          200 {"status":"duplicate"}
//	handled under another id      as if it were under this one: see Replays
//	a status of DiscardStatuses   200 {"status":"dead"}, now and for every copy
//	any other complete answer     503 upstream_failed; the next attempt is marked
//	never written                 503 upstream_unreachable
//	no complete answer            504 gateway_timeout; the claim is kept until its lease ends
//	a copy in flight              503 in_flight, after waiting 2 s or half of Config.Timeout
//	lease lost to another claim   503 superseded
//	the store failed              503 webhook_store_unavailable
//	the secrets are out of reach  503 webhook_secret_unavailable
//	Config.Drain has ended        503 draining
//	too many bodies in memory     503 overloaded
//	refused                       400 invalid_signature, no_event_id, id_reuse, incomplete_body;
//	                              405 method_not_allowed; 413 body_too_large;
//	                              408 incomplete_body, when it did not come within Config.Timeout
//
// Handrail-Webhook says processed, accepted, duplicate, dead or in-flight.
//
// # Providers
//
// [NewVerifier] knows these; [Providers] has the same as data, with each
// provider's documentation. An id that is not covered by the signature is held
// to the body that it came with first.
//
//	name      id                                 covered       deadline timeout  time     retries
//	stripe    json:/id                           yes           -        20s      5m       72h
//	standard  header:Webhook-Id                  yes           -        12s      5m       76h
//	github    header:X-GitHub-Delivery           no            10s      8s       -        never
//	slack     json:/event_id                     yes           3s       2.5s     5m       24h
//	shopify   header:X-Shopify-Webhook-Id        no            5s       4.5s     -        4h
//	hmac      as configured                      by what it is -        20s      -        -
//	gitlab    header:Idempotency-Key             no            10s      8s       5m       -
//	paddle    json:/event_id                     yes           5s       4.5s     5m       72h
//	linear    header:Linear-Delivery             no            5s       4.5s     1m       8h
//	discord   json:/id                           yes           3s       2.5s     5m       10m
//	sendgrid  body                               yes           -        8s       24h      24h
//	square    json:/event_id                     yes           10s      8s       -        72h
//	twilio    header:I-Twilio-Idempotency-Token  no            15s      12s      -        never
//
// deadline is what the provider documents for an answer, timeout the default of
// Config.Timeout, time the default of VerifierConfig.Tolerance (a dash: the
// provider signs no time, so an old message is as good as a new one), retries
// how long a failed delivery is repeated (a dash: not documented).
//
// Not deduplicated, because they have no id, are Slack's commands, interactions
// and challenges, and Discord's webhook events. The same bytes are the same
// event for SendGrid, and for Stripe, Twilio and GitLab where the id is missing.
// A signing token of GitLab covers its id, a secret token covers nothing.
//
// Twilio's signature runs the parameters of a form together without marks
// between them: who has seen a signed form can move bytes from one parameter's
// name or value to the next. Prefer its bodies of JSON, or compare what matters
// with Twilio's API.
//
// # Replays
//
// Where the signature covers the body but not the id (GitHub, Shopify, Linear,
// Twilio), a message that somebody captured would be a new event under an id of
// his own. The middleware keeps a second record there, of the body: under another
// id it is not handled again for as long as Config.Retention remembers it. It is
// answered by what became of the body under the first id: duplicate or dead, and
// 503 in_flight while that is not on record. When the first has failed, a message
// under another id takes over, marked as maybe processed if the first is. When a
// crash, or a store that failed, left the first without an outcome, one under
// another id is a duplicate, or dead, where the handler had answered so, and else is
// handled as the first: Idempotency-Key and [Event] have the first id, its headers
// are its own.
//
// With an inbox bodies and outcomes are remembered for longer, by
// InboxConfig.MaxAge, LongestRetry and two leases, since the outcome may come so
// much later than the message. An outcome that comes later still is guarded for so
// much less than Config.Retention: that of an event that an operator revived, that
// was kept long after its body had first come, or that waited while Deliver did
// not run, or behind others in its order.
//
// What [Ledger.Discard] makes dead without an inbox is so under its own id: its
// attempts had failed, so the same body under another id is handled.
//
// A body is the same whatever else the message says that nobody signed, but for
// Shopify's topic, since Shopify sends one body under several: a handler must look
// at X-Shopify-Topic and do nothing for topics that it does not expect. Of
// Linear's body the time of sending does not count, which each retry says anew;
// of Twilio's forms only what is signed counts.
//
// The price is that two messages of the same bytes are one, also when the
// provider meant two: GitHub's repository_dispatch and workflow_dispatch with the
// same input, the test messages of Shopify, or a Twilio call that comes to the
// same URL twice in the same state. Config.DisableReplayGuard is for handlers of such. The guard costs two
// more steps of the store for each message, and a record of the size of the
// event's; [IsGuard] tells them apart. Providers that sign a time are guarded by
// VerifierConfig.Tolerance as well.
//
// # When the store is down
//
// The answer is 503 with Retry-After and the handler is not called: the
// provider keeps the event and sends it again. There is no other policy,
// because going on without the store would break the promise.
//
// # Security
//
// Verification comes before anything else: a request without a valid signature
// reaches neither the store nor the handler. It costs one read of at most
// Config.MaxBodyBytes within Config.Timeout, and none when the provider's header
// is absent. All such reads together hold at most Config.MaxBufferedBytes: who
// sends that much at a time keeps others' deliveries away, as 503, until they
// are sent again, so put a limit by address before the middleware. Bodies, signatures and secrets are never part of an
// error or an [Event]. What the middleware vouches for, it says in Handrail-*
// headers: a service that is reachable around the middleware must not trust them.
package webhook
