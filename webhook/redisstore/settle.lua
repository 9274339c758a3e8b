-- Ends the claim with a fence. ARGV: fence, new state, 1 when the attempt may have
-- had its effect, and the answer, which may be empty. Answers 1, or 0 when the
-- fence is stale.
if not value or fence ~= ARGV[1] then
  return 0
elseif state == ARGV[2] then
  return 1 -- said before
elseif state ~= CLAIMED then
  return 0
end
state = ARGV[2]
if ARGV[3] == '1' then
  maybe = '1'
end
keep(now + retention, ARGV[4])
return 1
