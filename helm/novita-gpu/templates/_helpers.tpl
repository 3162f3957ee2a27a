{{- define "novita.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "novita.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "novita.name" .) .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name (include "novita.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "novita.selector" -}}
app.kubernetes.io/name: {{ include "novita.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "novita.labels" -}}
{{ include "novita.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: novita-gpu
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "novita.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "novita.fullname" .) .Values.serviceAccount.name }}
{{- else }}{{ default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Arguments: context, component. */}}
{{- define "novita.image" -}}
{{- $values := .context.Values.image }}
{{- printf "%snovita-gpu-%s:%s" $values.prefix .component (default .context.Chart.AppVersion $values.tag) }}
{{- end }}

{{/* The secrets of a component that are given, as a JSON list. Arguments: context, component. */}}
{{- define "novita.secretNames" -}}
{{- $wanted := list }}
{{- if eq .context.Values.redis.mode "upstash" }}{{ $wanted = append $wanted "UPSTASH_REDIS_REST_TOKEN" }}{{ end }}
{{- if has .component (list "api" "worker") }}{{ $wanted = append $wanted "ENVS_SECRET" }}{{ end }}
{{- if eq .component "worker" }}{{ $wanted = concat $wanted (list "NOVITA_API_KEY" "MARKER_SECRET" "WEBHOOK_SECRET") }}{{ end }}
{{- $given := list }}
{{- range $wanted }}
{{- $secret := index $.context.Values.secrets . }}
{{- if or $secret.value $secret.existingSecret }}{{ $given = append $given . }}{{ end }}
{{- end }}
{{- toJson $given }}
{{- end }}

{{/* Name and key of a secret. Arguments: context, name (of the variable), stored (the chart's own). */}}
{{- define "novita.secretRef" -}}
{{- $secret := index .context.Values.secrets .name }}
{{- if $secret.existingSecret -}}
name: {{ $secret.existingSecret }}
key: {{ required (printf "secrets.%s.key: the key within %s" .name $secret.existingSecret) $secret.key }}
{{- else -}}
name: {{ .stored }}
key: {{ .name }}
{{- end }}
{{- end }}

{{/* The volume with the secrets of a component. Arguments: context, component, stored. */}}
{{- define "novita.secretVolume" -}}
{{- $names := include "novita.secretNames" . | fromJsonArray }}
{{- if $names }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $name := $names }}
      {{- $ref := include "novita.secretRef" (dict "context" $.context "name" $name "stored" $.stored) | fromYaml }}
      - secret:
          name: {{ $ref.name }}
          items: [{key: {{ $ref.key | quote }}, path: {{ $name }}}]
      {{- end }}
{{- end }}
{{- end }}

{{/* The variables of a component. Arguments: context, component, stored. */}}
{{- define "novita.env" -}}
{{- $context := .context }}
{{- $redis := $context.Values.redis }}
{{- if eq $redis.mode "upstash" }}
- name: UPSTASH_REDIS_REST_URL
  {{- if $redis.upstash.urlFrom }}
  valueFrom: {{- toYaml $redis.upstash.urlFrom | nindent 4 }}
  {{- else }}
  value: {{ required "redis.upstash.url or redis.upstash.urlFrom: where Upstash is" $redis.upstash.url | quote }}
  {{- end }}
{{- else if eq $redis.mode "inCluster" }}
- name: REDIS_URL
  value: redis://{{ include "novita.fullname" $context }}-redis:6379
{{- else }}
- name: REDIS_URL
  valueFrom:
    secretKeyRef: {{- include "novita.secretRef" (dict "context" $context "name" "REDIS_URL" "stored" .stored) | nindent 6 }}
{{- end }}
{{- range include "novita.secretNames" . | fromJsonArray }}
- name: {{ . }}_FILE
  value: /etc/novita-gpu/secrets/{{ . }}
{{- end }}
{{- end }}

{{/* Fails where a value is missing without which a pod would only end with code 78. */}}
{{- define "novita.validate" -}}
{{- $given := include "novita.secretNames" (dict "context" . "component" "worker") | fromJsonArray }}
{{- if not (has "NOVITA_API_KEY" $given) }}{{ fail "secrets.NOVITA_API_KEY: a value or an existingSecret" }}{{ end }}
{{- if and (eq .Values.redis.mode "upstash") (not (has "UPSTASH_REDIS_REST_TOKEN" $given)) }}
{{- fail "secrets.UPSTASH_REDIS_REST_TOKEN: a value or an existingSecret, or another redis.mode" }}{{ end }}
{{- $url := .Values.secrets.REDIS_URL }}
{{- if and (eq .Values.redis.mode "url") (not (or $url.value $url.existingSecret)) }}
{{- fail "secrets.REDIS_URL: a value or an existingSecret, or another redis.mode" }}{{ end }}
{{- if ge (int .Values.shutdown.delayMs) (int .Values.shutdown.timeoutMs) }}
{{- fail "shutdown.delayMs: must be below shutdown.timeoutMs" }}{{ end }}
{{- end }}

{{/* A worker waits, finishes and settles one after the other; ten seconds are left over. */}}
{{- define "novita.gracePeriod" -}}
{{- add (div (add (int .Values.shutdown.delayMs) (int .Values.shutdown.timeoutMs) 999) 1000) 10 }}
{{- end }}

{{- define "novita.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "novita.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Where and how a pod is placed. Arguments: context, component, values. */}}
{{- define "novita.placement" -}}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range .values.topologySpreadConstraints }}
  - {{- toYaml . | nindent 4 }}
    labelSelector:
      matchLabels:
        {{- include "novita.selector" $.context | nindent 8 }}
        app.kubernetes.io/component: {{ $.component }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A Deployment. Arguments: context, component, binary, adminPort, ports. */}}
{{- define "novita.deployment" -}}
{{- $context := .context }}
{{- $values := index $context.Values .component }}
{{- $full := include "novita.fullname" $context }}
{{- $arguments := dict "context" $context "component" .component "values" $values "stored" $full }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $full }}-{{ .component }}
  labels:
    {{- include "novita.labels" $context | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  {{- if not .scaled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  selector:
    matchLabels:
      {{- include "novita.selector" $context | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
  template:
    metadata:
      labels:
        {{- include "novita.labels" $context | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        # Pods read their configuration once, so a change of it must replace them.
        checksum/config: {{ include (print $context.Template.BasePath "/configmap.yaml") $context | sha256sum }}
        checksum/secret: {{ include (print $context.Template.BasePath "/secret.yaml") $context | sha256sum }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "novita.serviceAccount" $context }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ include "novita.gracePeriod" $context }}
      securityContext: {{- include "novita.podSecurity" $context | nindent 8 }}
      {{- with $context.Values.image.pullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- include "novita.placement" $arguments | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ include "novita.image" $arguments }}
          imagePullPolicy: {{ $context.Values.image.pullPolicy }}
          securityContext: {{- include "novita.containerSecurity" $context | nindent 12 }}
          ports: {{- toYaml .ports | nindent 12 }}
          envFrom:
            - configMapRef: {name: {{ $full }}-{{ .component }}}
          env: {{- include "novita.env" $arguments | nindent 12 }}
            {{- with $values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          # Ready to be probed once Redis was reached; a process that cannot reach it ends by itself.
          startupProbe:
            httpGet: {path: /livez, port: admin}
            periodSeconds: 2
            failureThreshold: 60
          livenessProbe:
            httpGet: {path: /livez, port: admin}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: {path: /readyz, port: admin}
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 2
          resources: {{- toYaml $values.resources | nindent 12 }}
          {{- if include "novita.secretNames" $arguments | fromJsonArray }}
          volumeMounts:
            - {name: secrets, mountPath: /etc/novita-gpu/secrets, readOnly: true}
          {{- end }}
      {{- with include "novita.secretVolume" $arguments }}
      volumes: {{- . | nindent 8 }}
      {{- end }}
{{- end }}

{{/* A value as the process reads it: YAML's large numbers would come as 9.00000e+05. */}}
{{- define "novita.text" -}}
{{- if and (kindIs "float64" .) (eq (float64 .) (floor .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{/* Runnable and running jobs. Every process tells the same gauges, so max and not sum of them. */}}
{{- define "novita.backlogQuery" -}}
sum(max by (state) (queue_jobs{state=~"due|leased",namespace="{{ .Release.Namespace }}",release="{{ .Release.Name }}"})) or vector(0)
{{- end }}

{{/* The pod of `helm test`, as a peer of a network policy. */}}
{{- define "novita.fromTest" -}}
- podSelector:
    matchLabels:
      {{- include "novita.selector" . | nindent 6 }}
      app.kubernetes.io/component: test
{{- end }}
