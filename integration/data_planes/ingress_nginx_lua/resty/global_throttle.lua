-- Debian has no lua-resty-global_throttle: loading it works, using it is an error.
return { new = function() error("resty.global_throttle is not part of this setup") end }
