-- Suspended: somebody, or something outside, has to say "go on". Degraded: the new version is out,
-- or the rollout cannot be worked on; a sync wave ends there. docs/gitops.md has the whole table.
local status = obj.status
if obj.metadata.deletionTimestamp ~= nil then
  return {status = "Progressing", message = "it is being deleted"}
end
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  -- What the status says is about the template before this one: a rollback of that is no answer.
  return {status = "Progressing", message = "the controller has not looked at this version yet"}
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local function is(kind, value)
  return conditions[kind] ~= nil and conditions[kind].status == value
end

local message = status.message or ""
if status.verdict ~= nil then
  message = message .. " (verdict " .. status.verdict .. ")"
end
if is("MetricsAvailable", "False") then
  message = message .. "; held: " .. (conditions.MetricsAvailable.message or "no metrics")
end

if is("Stalled", "True") and conditions.Stalled.reason ~= "Undecided" then
  local stalled = conditions.Stalled
  return {status = "Degraded", message = stalled.reason .. ": " .. (stalled.message or message)}
end
if status.pause ~= nil then
  return {status = "Suspended", message = status.pause.reason .. ": " .. status.pause.message}
end
if is("Ready", "True") then
  return {status = "Healthy", message = conditions.Ready.message or message}
end

local phase = status.phase or "Idle"
local blue_green = (obj.spec.strategy or {}).blueGreen
if phase == "Previewing" and blue_green ~= nil and blue_green.autoSwitch == false
  and not status.switchWanted then
  return {status = "Suspended", message = message}
end
local asked = phase == "Idle" or phase == "Preparing" or phase == "Previewing"
if phase == "Stepping" and status.step ~= nil and status.step.gated then
  asked = true
end
for _, gate in ipairs(status.gates or {}) do
  if asked and gate.state ~= "Open" and gate.at ~= "AfterEnd" then
    local text = "waiting for a gate: " .. gate.name .. ": " .. (gate.message or gate.state)
    return {status = "Suspended", message = text}
  end
end
if phase == "Idle" and conditions.Ready ~= nil then
  return {status = "Progressing", message = conditions.Ready.message or message}
end
return {status = "Progressing", message = phase .. ": " .. message}
