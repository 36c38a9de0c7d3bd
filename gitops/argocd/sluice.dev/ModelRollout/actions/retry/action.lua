-- As `sluice retry`: bound to the revision that is shown, and done once.
local status = obj.status or {}
local current = status.candidate or status.rejected or {}
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["sluice.dev/command"] = '{"id": "argocd-retry-'
  .. obj.metadata.resourceVersion .. '", "command": "retry", "revision": "'
  .. (current.revision or "") .. '", "by": "Argo CD"}'
return obj
