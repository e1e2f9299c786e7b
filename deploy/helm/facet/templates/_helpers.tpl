{{/* The name of a Service begins with a letter. */}}
{{- define "facet.name" -}}
{{- if regexMatch "^[0-9]" .Release.Name -}}{{ printf "%s-%s" .Chart.Name .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else if contains .Chart.Name .Release.Name -}}{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{- define "facet.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "facet.labels" -}}
{{ include "facet.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "facet.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}{{ printf "%s@%s" $image.repository $image.digest }}
{{- else -}}{{ printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) }}{{- end -}}
{{- end -}}

{{- define "facet.claim" -}}
{{ .Values.gallery.sqlite.existingClaim | default (printf "%s-gallery" (include "facet.name" .)) }}
{{- end -}}

{{/* Stop if values do not belong together. Each message names the value, the fault and the remedy. */}}
{{- define "facet.check" -}}
{{- $values := .Values -}}
{{- if not $values.image.repository -}}
{{- fail "image.repository is not set. Build an image from docker/service.Dockerfile, push it to your registry, and set image.repository to its name." -}}
{{- end -}}
{{- if and (eq $values.gallery.store "postgresql") (not $values.gallery.postgresql.secretName) -}}
{{- fail "gallery.postgresql.secretName is not set. Make a Secret with the address of the database, and name it; or set gallery.store to sqlite (one replica) or off." -}}
{{- end -}}
{{- if eq $values.gallery.store "sqlite" -}}
{{- if $values.autoscaling.enabled -}}
{{- fail "autoscaling.enabled is true, but gallery.store=sqlite allows one replica only: replicas cannot share its file. Set gallery.store=postgresql, or autoscaling.enabled=false and replicas=1." -}}
{{- end -}}
{{- if ne (int $values.replicas) 1 -}}
{{- fail (printf "replicas is %d, but gallery.store=sqlite allows one replica only: replicas cannot share its file. Set replicas=1, or gallery.store=postgresql." (int $values.replicas)) -}}
{{- end -}}
{{- end -}}
{{- if and $values.autoscaling.enabled (gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is greater than autoscaling.maxReplicas. Lower one, or raise the other." -}}
{{- end -}}
{{- if and $values.autoscaling.enabled (eq $values.device "gpu") (eq $values.autoscaling.metric "cpu") -}}
{{- fail "autoscaling.metric=cpu does not follow the load of a GPU. Set autoscaling.metric=queue, which needs an adapter for custom metrics." -}}
{{- end -}}
{{- if gt (mulf 2 $values.shutdown.drainDelaySeconds) (float64 $values.shutdown.timeoutSeconds) -}}
{{- fail "shutdown.drainDelaySeconds is more than half of shutdown.timeoutSeconds, so that too little time is left to finish requests. Raise the timeout, or lower the delay." -}}
{{- end -}}
{{- if and $values.serviceMonitor.enabled $values.apiKeys.secretName (not $values.serviceMonitor.apiKey.secretName) -}}
{{- fail "serviceMonitor.apiKey.secretName is not set, but the service has API keys, so Prometheus would get 401. Make a Secret with one key alone, and name it." -}}
{{- end -}}
{{- $own := list "FACE_API_KEYS" "FACE_API_KEYS_FILE" "FACE_DEVICE" "FACE_DRAIN_DELAY_S" "FACE_GALLERY" "FACE_HOST" "FACE_PORT" "FACE_SHUTDOWN_TIMEOUT_S" "FACE_THREADS" -}}
{{- range $name, $_ := $values.settings -}}
{{- if has $name $own -}}
{{- fail (printf "settings has %s, which the chart sets itself. Remove it, and use the chart's own value: device, gallery, apiKeys, threads or shutdown." $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
