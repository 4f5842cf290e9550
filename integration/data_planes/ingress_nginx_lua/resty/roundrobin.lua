-- Weighted round robin with the interface that ingress-nginx' balancer/round_robin.lua uses. Each node stands in the
-- order as often as its weight says; the start is random, so that workers do not all begin with the same node.
local Balancer = {}
Balancer.__index = Balancer

function Balancer:reinit(nodes)
  local names = {}
  for name in pairs(nodes) do names[#names + 1] = name end
  table.sort(names)
  self.nodes, self.order = nodes, {}
  for _, name in ipairs(names) do
    for _ = 1, nodes[name] do self.order[#self.order + 1] = name end
  end
  self.last = #self.order > 0 and math.random(#self.order) or 0
end

function Balancer.new(_, nodes)
  local made = setmetatable({}, Balancer)
  made:reinit(nodes)
  return made
end

function Balancer:find()
  if #self.order == 0 then return nil end
  self.last = self.last % #self.order + 1
  return self.order[self.last]
end

return Balancer
