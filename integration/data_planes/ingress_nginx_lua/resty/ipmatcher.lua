-- Debian has no lua-resty-ipmatcher: loading it works, using it is an error.
return { new = function() error("resty.ipmatcher is not part of this setup") end }
