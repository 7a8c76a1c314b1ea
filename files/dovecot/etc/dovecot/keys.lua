-- passdb: asks mail-keys.service whether a password opens a mailbox's key slots (accounts/keyd.py has the protocol).
-- The mail secret becomes the password of the user's own Dovecot key; without it no mail can be read.
local unix = require "socket.unix"

local path = "/run/mail-keys/socket"
-- Longer than the slowest Argon2id of those that wait before it.
local seconds = 30

local function hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function ask(address, password)
  local socket = assert(unix.stream())
  socket:settimeout(seconds)
  local answer, problem = socket:connect(path)
  if answer then
    answer, problem = socket:send(hex(address) .. " " .. hex(password) .. "\n")
  end
  if answer then
    answer, problem = socket:receive("*l")
  end
  socket:close()
  return answer, problem
end

function auth_password_verify(request, password)
  local answer, problem = ask(request.user, password)
  local results = {
    mismatch = dovecot.auth.PASSDB_RESULT_PASSWORD_MISMATCH,
    unknown = dovecot.auth.PASSDB_RESULT_USER_UNKNOWN,
    disabled = dovecot.auth.PASSDB_RESULT_USER_DISABLED,
  }
  local secret = answer and answer:match("^ok (%x+)$")
  if secret then
    return dovecot.auth.PASSDB_RESULT_OK, { userdb_crypt_user_key_password = secret }
  end
  if results[answer] then
    return results[answer], ""
  end
  request:log_error("mail-keys.service: " .. (problem or "an answer that makes no sense"))
  return dovecot.auth.PASSDB_RESULT_INTERNAL_FAILURE, "mail-keys.service doesn't answer"
end
