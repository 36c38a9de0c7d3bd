-- As `sluice retrain`: bound to the stable that is shown, and done once.
local status = obj.status or {}
local current = status.stable or {}
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["sluice.dev/command"] = '{"id": "argocd-retrain-'
  .. obj.metadata.resourceVersion .. '", "command": "retrain", "revision": "'
  .. (current.revision or "") .. '", "by": "Argo CD"}'
return obj
