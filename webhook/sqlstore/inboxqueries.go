package sqlstore

// The statements of an inbox. A key with a message has these columns, which are
// NULL of any other:
//
//	stored       1 while the message waits or is claimed; then expires_at is forever
//	route        of the message
//	order_key    its order; empty when that is of no matter
//	place        in its order, or 0
//	held         1 while another one of its order is ahead
//	taken        attempts since it was put, or revived
//	received_at  when it was put
//	begun_at     when it was put, or revived
//	due_at       from when it can be taken: when it was claimed, the end of the lease
//	event_type, body_bytes, last_status, last_reason   for operators
//
// Of one order the stored one with the lowest place is not held. Others are not
// held only when one with a lower place was revived while they were claimed;
// dueRows looks at that. What changes which one is first is done by one at a
// time, see ordered.

// keptRow reads what getRow does, and of which order the message is.
const keptRow = `
SELECT state, fence, attempt, maybe_processed, body_digest, lease_until - {now},
       answer_status, answer_type, answer_body, stored, COALESCE(route, ''), COALESCE(order_key, ''), place IS NOT NULL
FROM {table}
WHERE event_key = $1 AND expires_at > {now}`

// putRow keeps a message under a key that is absent, past its retention, or that
// Claim could take; of any other it returns no row.
// $1 key, $2 digest, $3 retention, $4 refuse another body, $5 route, $6 order,
// $7 type, $8 bytes of the body.
//
// Places follow the clock, so that a dead message keeps its place before those
// that came later, and go up by one at least, whatever the clock does.
const putRow = `
INSERT INTO {table} AS d
  (event_key, state, fence, attempt, maybe_processed, body_digest,
   lease_until, retention_ms, expires_at, updated_at,
   stored, route, order_key, place, held, taken, received_at, begun_at, due_at, event_type, body_bytes)
SELECT $1, 2, 0, 0, 0, $2, t.now, $3, {forever}, t.now,
       1, $5, $6,
       CASE WHEN $6 = '' THEN 0 WHEN t.last >= t.now * 1000 THEN t.last + 1 ELSE t.now * 1000 END,
       CASE WHEN t.last > 0 THEN 1 ELSE 0 END,
       0, t.now, t.now, t.now, $7, $8
FROM (SELECT {now} AS now, COALESCE((SELECT max(p) FROM (
        SELECT max(place) AS p FROM {table} WHERE stored = 1 AND route = $5 AND order_key = $6 AND order_key <> '' AND held = 0
        UNION ALL
        SELECT max(place) FROM {table} WHERE stored = 1 AND route = $5 AND order_key = $6 AND order_key <> '' AND held = 1
      ) AS places), 0) AS last) AS t
WHERE true
ON CONFLICT (event_key) DO UPDATE SET
  state = 2,
  fence = CASE WHEN d.expires_at <= excluded.updated_at THEN 0 ELSE d.fence END,
  attempt = CASE WHEN d.expires_at <= excluded.updated_at THEN 0 ELSE d.attempt END,
  maybe_processed = CASE WHEN d.expires_at <= excluded.updated_at THEN 0
                         WHEN d.state = 1 THEN 1 ELSE d.maybe_processed END,
  body_digest = CASE WHEN d.expires_at <= excluded.updated_at THEN excluded.body_digest ELSE d.body_digest END,
  retention_ms = excluded.retention_ms,
  expires_at = excluded.expires_at,
  updated_at = excluded.updated_at,
  answer_status = NULL, answer_type = NULL, answer_body = NULL,
  stored = 1, route = excluded.route, order_key = excluded.order_key, place = excluded.place, held = excluded.held,
  taken = 0, received_at = excluded.received_at, begun_at = excluded.begun_at, due_at = excluded.due_at,
  event_type = excluded.event_type, body_bytes = excluded.body_bytes, last_status = NULL, last_reason = NULL
WHERE d.expires_at <= excluded.updated_at
   OR (d.place IS NULL
       AND (d.state = 2 OR (d.state = 1 AND d.lease_until <= excluded.updated_at))
       AND ($4 = 0 OR d.body_digest = excluded.body_digest))
`

const putReturns = `RETURNING fence, attempt, maybe_processed, body_digest`

// putMessage: $1 key, $2 head, $3 body. What is there is of a key that was past
// its retention.
const putMessage = `
INSERT INTO {messages} (event_key, head, body) VALUES ($1, $2, $3)
ON CONFLICT (event_key) DO UPDATE SET head = excluded.head, body = excluded.body`

const deleteMessage = `DELETE FROM {messages} WHERE event_key = $1`

// dueRows are messages of route $1 that can be taken, up to $2, and the sizes of
// their bodies.
const dueRows = `
SELECT d.event_key, d.body_bytes, d.due_at FROM {table} AS d
WHERE d.stored = 1 AND d.held = 0 AND d.route = $1 AND d.due_at <= {now}
  AND (d.order_key = '' OR NOT EXISTS (
    SELECT 1 FROM {table} AS x
    WHERE x.stored = 1 AND x.held = 0 AND x.route = d.route AND x.order_key = d.order_key AND x.order_key <> ''
      AND x.event_key <> d.event_key AND (x.place < d.place OR (x.state = 1 AND x.lease_until > {now}))))
ORDER BY d.due_at LIMIT $2`

// takeRow claims the message $1 for $2.
const takeRow = `
UPDATE {table} AS d SET` + taking + `
WHERE event_key = $1
RETURNING fence, taken, maybe_processed, {now} - begun_at`

// taking is what becomes of a message that is taken; $2 is the lease.
const taking = `
  state = 1, fence = d.fence + 1, attempt = d.attempt + 1, taken = d.taken + 1,
  maybe_processed = CASE WHEN d.state = 1 THEN 1 ELSE d.maybe_processed END,
  lease_until = {now} + $2, due_at = {now} + $2, updated_at = {now}`

// unkept is what becomes of a key whose message goes.
const unkept = `
  stored = 0, route = NULL, order_key = NULL, place = NULL, held = NULL, taken = NULL, received_at = NULL,
  begun_at = NULL, due_at = NULL, event_type = NULL, body_bytes = NULL, last_status = NULL, last_reason = NULL`

// completeRow makes a claimed message done: $2 its fence, $3 to $5 the answer.
const completeRow = `
UPDATE {table} SET
  state = 3, expires_at = {now} + retention_ms, updated_at = {now},
  answer_status = $3, answer_type = $4, answer_body = $5,` + unkept + `
WHERE event_key = $1 AND fence = $2 AND state = 1 AND stored = 1
RETURNING event_key`

// failRow ends the attempt with fence $2: $3 the new state, $4 how long it is not
// due, $5 whether it may have been processed, $6 whether status $7 and reason $8
// count, $9 how many attempts are taken back.
const failRow = `
UPDATE {table} SET
  state = $3,
  attempt = attempt - $9, taken = taken - $9,
  maybe_processed = CASE WHEN $5 = 1 THEN 1 ELSE maybe_processed END,
  due_at = CASE WHEN $3 = 1 AND lease_until > {now} + $4 THEN lease_until ELSE {now} + $4 END,
  stored = CASE WHEN $3 = 4 THEN 0 ELSE 1 END,
  expires_at = CASE WHEN $3 = 4 THEN {now} + retention_ms ELSE expires_at END,
  updated_at = {now},
  last_status = CASE WHEN $6 = 1 THEN $7 ELSE last_status END,
  last_reason = CASE WHEN $6 = 1 THEN $8 ELSE last_reason END
WHERE event_key = $1 AND fence = $2 AND state = 1 AND stored = 1
RETURNING event_key`

// promoteRow lets the first of what is left of the order $2 of route $1 be taken.
const promoteRow = `
UPDATE {table} AS d SET held = 0
WHERE d.event_key = (
    SELECT event_key FROM {table}
    WHERE stored = 1 AND held = 1 AND route = $1 AND order_key = $2 AND order_key <> '' ORDER BY place LIMIT 1)
  AND NOT EXISTS (
    SELECT 1 FROM {table} AS x
    WHERE x.stored = 1 AND x.held = 0 AND x.route = $1 AND x.order_key = $2 AND x.order_key <> '' AND x.place < d.place)`

// demoteRows holds back all of the order $2 of route $1 but what is being
// delivered.
const demoteRows = `
UPDATE {table} SET held = 1
WHERE stored = 1 AND held = 0 AND route = $1 AND order_key = $2 AND order_key <> ''
  AND NOT (state = 1 AND lease_until > {now})`

// reviveRow makes the dead key $1, with a message of the order $2 or without one,
// one to retry; a key to retry with a message is made due, and so is a claimed one
// whose lease has ended.
const reviveRow = `
UPDATE {table} SET
  state = 2,
  maybe_processed = CASE WHEN state = 2 THEN maybe_processed ELSE 1 END,
  attempt = CASE WHEN state = 4 THEN 0 ELSE attempt END,
  taken = CASE WHEN state = 4 THEN 0 ELSE taken END,
  begun_at = CASE WHEN state = 4 AND place IS NOT NULL THEN {now} ELSE begun_at END,
  held = CASE WHEN state = 4 AND order_key <> '' THEN 1 ELSE held END,
  due_at = CASE WHEN place IS NOT NULL THEN {now} END,
  stored = CASE WHEN place IS NULL THEN 0 ELSE 1 END,
  expires_at = CASE WHEN place IS NULL THEN {now} + retention_ms ELSE {forever} END,
  updated_at = {now}
WHERE event_key = $1 AND COALESCE(order_key, '') = $2 AND expires_at > {now}
  AND (state = 4 OR (stored = 1 AND (state = 2 OR (state = 1 AND lease_until <= {now}))))
RETURNING event_key`

// discardRow makes the key $1, to retry or dead, or claimed with a message and its
// lease over, one that is dead and has no message; $2 as for reviveRow.
const discardRow = `
UPDATE {table} SET
  state = 4,
  maybe_processed = CASE WHEN state = 1 THEN 1 ELSE maybe_processed END,
  expires_at = CASE WHEN state = 4 THEN expires_at ELSE {now} + retention_ms END,
  updated_at = CASE WHEN state = 4 THEN updated_at ELSE {now} END,` + unkept + `
WHERE event_key = $1 AND COALESCE(order_key, '') = $2 AND expires_at > {now}
  AND (state IN (2, 4) OR (state = 1 AND stored = 1 AND lease_until <= {now}))
RETURNING event_key`

const messageRow = `
SELECT m.head, m.body FROM {table} AS d JOIN {messages} AS m ON m.event_key = d.event_key
WHERE d.event_key = $1 AND d.place IS NOT NULL AND d.expires_at > {now}`

const backlogRows = `
SELECT route, sum(stored), sum(1 - stored), COALESCE(max(CASE WHEN stored = 1 THEN {now} - received_at END), 0)
FROM {table} WHERE place IS NOT NULL AND expires_at > {now}
GROUP BY route ORDER BY route`

const entryColumns = `
  event_key, state, fence, attempt, maybe_processed, body_digest, answer_status, answer_type, answer_body,
  updated_at, lease_until, expires_at, stored, place IS NOT NULL, COALESCE(received_at, 0),
  CASE WHEN stored = 1 AND (state = 2 OR (state = 1 AND lease_until <= {now})) THEN due_at END,
  COALESCE(order_key, ''), COALESCE(event_type, ''), COALESCE(body_bytes, 0), COALESCE(last_status, 0), COALESCE(last_reason, '')`

const entryRow = `SELECT` + entryColumns + `
FROM {table} WHERE event_key = $1 AND expires_at > {now}`

// windowRow is the first key that a page is not to look at: from $1 on, below $2,
// after $3 others.
const windowRow = `
SELECT event_key FROM {table} WHERE event_key >= $1 AND event_key < $2 ORDER BY event_key LIMIT 1 OFFSET $3`

// listRows are the deliveries from $1 on, below $2, whose state has its bit in
// $3; up to $4.
const listRows = `SELECT` + entryColumns + `
FROM {table}
WHERE event_key >= $1 AND event_key < $2 AND expires_at > {now} AND ($3 & (1 << state)) <> 0 AND {own}
ORDER BY event_key LIMIT $4`
