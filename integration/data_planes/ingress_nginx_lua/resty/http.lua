-- Debian has no lua-resty-http: loading it works, using it is an error.
return { new = function() error("resty.http is not part of this setup") end }
