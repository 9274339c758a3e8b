-- Claims a delivery that is absent, to retry, or past its lease. ARGV: lease,
-- retention, digest, 1 to refuse another body, and what tells this call from
-- others. A call that is sent again does not claim again; it is known until another
-- call claims.
-- Answers {1 when this call has claimed, the delivery, what is left of its lease}.
local taken = 0
if value and call == ARGV[5] then
  taken = state == CLAIMED and 1 or 0
elseif not value or (state == RETRY or state == CLAIMED and tonumber(lease) <= now) and (ARGV[4] == '0' or digest == ARGV[3]) then
  taken = 1
  if not value then
    fence, maybe, digest, attempt = '0', '0', ARGV[3], '0'
  elseif state == CLAIMED then
    maybe = '1'
  end
  local ends = now + ARGV[1]
  state, call, retention = CLAIMED, ARGV[5], ARGV[2]
  fence, attempt = string.format('%.0f', fence + 1), string.format('%.0f', attempt + 1)
  lease = string.format('%.0f', ends)
  keep(ends + retention, '')
end
return {taken, value, lease - now}
