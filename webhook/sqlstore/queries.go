package sqlstore

import "strings"

// queries are the statements of a Store, in the words of one database.
type queries struct {
	get, claim, settle, purge, evict string

	kept, put, due, take, complete, fail, promote, demote, revive, discard string
	// putMessage and deleteMessage are apart where one statement cannot change
	// two tables; else empty, and put, complete and discard do it.
	putMessage, deleteMessage string

	message, backlog, entry, window, list string

	// text is a text as the database takes it, plain the other way.
	text, plain func(string) string
	// mark is a key as the After of a query holds it, unmark the other way.
	mark, unmark func(string) string
	// next is what leads, after a key, to the next one that can be; end is above
	// all keys.
	next string
	end  any
	// foreign begins the keys of others in the table; empty: there are none.
	// afterForeign is above them.
	foreign, afterForeign string
}

// dialect is all that differs between databases.
type dialect struct {
	// now is an expression: milliseconds since 1970 on the database's clock, the
	// same for all rows of a statement.
	now string
	// table is the name of the table of deliveries, messages that of the messages.
	table, messages string
	// own is a condition that the rows of a Store meet, where others are in the
	// table.
	own string
	// text and plain: see queries.
	text, plain func(string) string
}

// render fills the dialect into the statements.
//
// Columns: state as webhook.State; maybe_processed 0 or 1; times in
// milliseconds since 1970; updated_at is when the row last changed. Those of a
// message that is kept stand in inboxqueries.go.
func (d dialect) render() queries {
	return queries{
		get: d.fill(getRow), claim: d.fill(claimRow), settle: d.fill(settleRow), purge: d.fill(purgeRows), evict: d.fill(evictRow),
		kept: d.fill(keptRow), put: d.fill(putRow + putReturns), due: d.fill(dueRows), take: d.fill(takeRow),
		complete: d.fill(completeRow), fail: d.fill(failRow), promote: d.fill(promoteRow), demote: d.fill(demoteRows),
		revive: d.fill(reviveRow), discard: d.fill(discardRow), putMessage: d.fill(putMessage), deleteMessage: d.fill(deleteMessage),
		text: d.text, plain: d.plain,
		message: d.fill(messageRow), backlog: d.fill(backlogRows), entry: d.fill(entryRow), window: d.fill(windowRow), list: d.fill(listRows),
	}
}

func (d dialect) fill(statement string) string {
	// forever is when a key ends that is kept without end.
	return strings.NewReplacer("{now}", d.now, "{table}", d.table, "{messages}", d.messages, "{own}", d.own,
		"{forever}", "9000000000000000").Replace(statement)
}

const getRow = `
SELECT state, fence, attempt, maybe_processed, body_digest, lease_until - {now},
       answer_status, answer_type, answer_body, stored
FROM {table}
WHERE event_key = $1 AND expires_at > {now}`

// claimRow takes an absent key, one past its retention (as if absent), one to
// retry, or one whose lease has ended; of any other it returns no row. Nor of one
// with a message: see evictRow.
// $1 key, $2 digest, $3 lease, $4 retention, $5 refuse another body.
const claimRow = `
INSERT INTO {table} AS d
  (event_key, state, fence, attempt, maybe_processed, body_digest,
   lease_until, retention_ms, expires_at, updated_at)
SELECT $1, 1, 1, 1, 0, $2, t.now + $3, $4, t.now + $3 + $4, t.now
FROM (SELECT {now} AS now) AS t
WHERE true
ON CONFLICT (event_key) DO UPDATE SET
  state = 1,
  fence = CASE WHEN d.expires_at <= excluded.updated_at THEN 1 ELSE d.fence + 1 END,
  attempt = CASE WHEN d.expires_at <= excluded.updated_at THEN 1 ELSE d.attempt + 1 END,
  maybe_processed = CASE WHEN d.expires_at <= excluded.updated_at THEN 0
                         WHEN d.state = 1 THEN 1 ELSE d.maybe_processed END,
  body_digest = CASE WHEN d.expires_at <= excluded.updated_at THEN excluded.body_digest ELSE d.body_digest END,
  lease_until = excluded.lease_until,
  retention_ms = excluded.retention_ms,
  expires_at = excluded.expires_at,
  updated_at = excluded.updated_at,
  answer_status = NULL, answer_type = NULL, answer_body = NULL
WHERE d.place IS NULL
  AND (d.expires_at <= excluded.updated_at
       OR ((d.state = 2 OR (d.state = 1 AND d.lease_until <= excluded.updated_at))
           AND ($5 = 0 OR d.body_digest = excluded.body_digest)))
RETURNING fence, attempt, maybe_processed, body_digest`

// settleRow ends the claim with fence $2 of a key without a message: $3 the new
// state, $4 whether it may have been processed, $5 to $7 the answer.
const settleRow = `
UPDATE {table} SET
  state = $3,
  maybe_processed = CASE WHEN $4 = 1 THEN 1 ELSE maybe_processed END,
  expires_at = {now} + retention_ms,
  updated_at = {now},
  answer_status = $5, answer_type = $6, answer_body = $7
WHERE event_key = $1 AND fence = $2 AND state = 1 AND stored = 0 AND expires_at > {now}`

// purgeRows deletes up to $1 rows past their retention, and tells of each whether
// it has a message.
const purgeRows = `
DELETE FROM {table} WHERE event_key IN (
  SELECT event_key FROM {table} WHERE expires_at <= {now} LIMIT $1)
RETURNING event_key, place IS NOT NULL`

// evictRow deletes the row $1 when it is past its retention.
const evictRow = `
DELETE FROM {table} WHERE event_key = $1 AND expires_at <= {now}
RETURNING event_key, place IS NOT NULL`
