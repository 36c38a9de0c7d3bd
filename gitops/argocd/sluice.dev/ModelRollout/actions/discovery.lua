-- What is possible now; the table is in docs/commands.md. The controller has the last word: what it
-- refuses stands in status.lastCommand and in an Event.
local status = obj.status or {}
local phase = status.phase or "Idle"
local at_rest = phase == "Idle" or phase == "RolledBack"
local under_way = not at_rest and phase ~= "RollingBack"
local waiting = false
if phase == "Idle" and status.stable ~= nil then
  for _, gate in ipairs(status.gates or {}) do
    if gate.state ~= "Open" and gate.at ~= "AfterEnd" then waiting = true end
  end
end
local serving = false
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Promoted" and condition.status == "True" then
    serving = condition.observedGeneration == obj.metadata.generation
  end
end
local monitoring = obj.spec.monitoring or {}
local retrainable = status.stable ~= nil
  and (monitoring.onDrift ~= nil or monitoring.onDecay ~= nil)
for _, one in ipairs((status.monitoring or {}).retrainings or {}) do
  if one.state == "Pending" or one.state == "Running" then retrainable = false end
end
local asking = {Running = true, Blocked = true, Undecided = true}
local preflight = asking[(status.preflight or {}).state] == true -- it can be passed over
local promotable = under_way and phase ~= "Promoting" and (phase ~= "Preparing" or preflight)

local function action(possible, name, icon)
  return {disabled = not possible, displayName = name, iconClass = "fa fa-fw fa-" .. icon}
end

return {
  ["pause"] = action(under_way, "Pause", "pause"),
  ["resume"] = action(
    under_way and status.pause ~= nil and obj.spec.paused ~= true, "Resume", "play"
  ),
  ["promote"] = action(promotable, "Promote: next step", "step-forward"),
  ["promote-full"] = action(promotable, "Promote: all traffic", "fast-forward"),
  ["abort"] = action(under_way or waiting, "Abort: candidate out", "stop"),
  ["retry"] = action(phase == "RolledBack", "Retry", "redo"),
  ["retrain"] = action(retrainable, "Retrain the model", "graduation-cap"),
  ["restart"] = action(phase == "Idle" and serving and not waiting, "Restart: new pods", "sync")
}
