-- Consistent hashing with the interface that ingress-nginx' balancer/chash.lua uses: a ring of 160 points a weight.
local Ring = {}
Ring.__index = Ring

function Ring:reinit(nodes)
  self.nodes, self.points = nodes, {}
  for name, weight in pairs(nodes) do
    for copy = 1, 160 * weight do
      self.points[#self.points + 1] = { at = ngx.crc32_long(name .. "/" .. copy), name = name }
    end
  end
  table.sort(self.points, function(a, b) return a.at < b.at or (a.at == b.at and a.name < b.name) end)
end

function Ring.new(_, nodes)
  local made = setmetatable({}, Ring)
  made:reinit(nodes)
  return made
end

function Ring:find(key)
  local wanted = ngx.crc32_long(tostring(key))
  local low, high = 1, #self.points + 1
  if high == 1 then return nil end
  while low < high do
    local middle = math.floor((low + high) / 2)
    if self.points[middle].at < wanted then low = middle + 1 else high = middle end
  end
  local index = low > #self.points and 1 or low
  return self.points[index].name, index
end

return Ring
