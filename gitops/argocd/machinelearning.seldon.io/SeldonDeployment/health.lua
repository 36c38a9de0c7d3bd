-- Seldon sets no observedGeneration, keeps saying Available for a moment after a change, and says
-- Failed for a moment in a healthy one. So the Deployments are counted too; and where a ModelRollout
-- owns this object, the verdict is there.
local status = obj.status or {}
local owner = nil
for _, one in ipairs(obj.metadata.ownerReferences or {}) do
  if one.kind == "ModelRollout" then owner = one.name end
end
if obj.metadata.deletionTimestamp ~= nil then
  return {status = "Progressing", message = "it is being deleted"}
end
if status.state == nil or status.state == "" then
  return {status = "Progressing", message = "Seldon has not looked at it yet"}
end
if status.state == "Failed" then
  local text = "Seldon says Failed: " .. (status.description or "no reason given")
  if owner ~= nil then
    return {status = "Progressing", message = text .. "; ModelRollout " .. owner .. " judges"}
  end
  return {status = "Degraded", message = text}
end
if status.state ~= "Available" then
  return {status = "Progressing", message = "Seldon says " .. status.state}
end
local known = 0
for name, deployment in pairs(status.deploymentStatus or {}) do
  known = known + 1
  local wanted, available = deployment.replicas or 0, deployment.availableReplicas or 0
  if available < wanted then
    local counted = available .. " of " .. wanted .. " pods are available"
    return {status = "Progressing", message = name .. ": " .. counted}
  end
end
if known < #(obj.spec.predictors or {}) then
  return {status = "Progressing", message = "Seldon has not made every predictor's pods yet"}
end
return {status = "Healthy", message = "all pods are available"}
