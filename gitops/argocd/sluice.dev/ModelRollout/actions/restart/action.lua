-- As `sluice restart`: the new pods come in as a candidate, with the steps of any other. It changes
-- the template: argocd-cm has the ignoreDifferences that keep self-heal from taking it back.
local os = require("os")
local predictor = obj.spec.template.spec.predictors[1]
if predictor.annotations == nil then
  predictor.annotations = {}
end
predictor.annotations["sluice.dev/restartedAt"] = os.date("!%Y-%m-%dT%XZ")
return obj
