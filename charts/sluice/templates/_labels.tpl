{{- define "sluice.selector" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/component: controller
{{- end }}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "sluice.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "sluice.scraped" -}}
{{- if and .Values.scrapeAnnotations.enabled (not (or .Values.serviceMonitor.enabled .Values.podMonitor.enabled)) -}}
prometheus.io/scrape: "true"
prometheus.io/path: /metrics
prometheus.io/port: "8080"
{{- end -}}
{{- end }}

{{- /* A Service's namespace, or an outside address's port: a policy sees the pods' ports, not the Service's. */}}
{{- define "sluice.prometheusEgress" -}}
{{- $url := urlParse .Values.prometheus.url -}}
{{- $host := regexReplaceAll ":[0-9]+$" $url.host "" -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $parts := splitList "." $host -}}
{{- $address := regexMatch "^([0-9.]+|\\[.*\\])$" $host -}}
{{- $service := and (not $address) (or (le (len $parts) 2) (eq (index $parts (min 2 (sub (len $parts) 1))) "svc")) -}}
{{- if .Values.networkPolicy.prometheusTo -}}
- to:
  {{- toYaml .Values.networkPolicy.prometheusTo | nindent 2 }}
{{- else if $service -}}
- to:
  - namespaceSelector:
      matchLabels: {kubernetes.io/metadata.name: {{ eq (len $parts) 1 | ternary .Release.Namespace (index $parts (min 1 (sub (len $parts) 1))) }}}
{{- else -}}
- ports:
  - {port: {{ $port | default (eq $url.scheme "https" | ternary "443" "80") }}, protocol: TCP}
{{- end -}}
{{- end }}
