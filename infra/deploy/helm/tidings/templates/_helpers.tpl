{{- define "tidings.labels" -}}
app.kubernetes.io/name: tidings
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .kind }}
{{- end }}

{{- define "tidings.secret" -}}
{{ .Values.existingSecret | default (printf "%s-secrets" .Release.Name) }}
{{- end }}

{{/* A pod of a gateway, a worker or the audit: root, kind, its values, its grace in seconds, args if not the kind. */}}
{{- define "tidings.pod" -}}
metadata:
  labels: {{- include "tidings.labels" . | nindent 4 }}
  annotations:
    # Settings are read at start, so pods with other ones are other pods.
    checksum/settings: {{ include (print .root.Template.BasePath "/settings.yaml") .root | sha256sum }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ .grace }}
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    seccompProfile: {type: RuntimeDefault}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "tidings.labels" . | nindent 10 }}
  containers:
    - name: {{ .kind }}
      {{- $tag := coalesce .values.image.tag .root.Values.image.tag .root.Chart.AppVersion }}
      image: "{{ .root.Values.image.repository }}:{{ $tag }}"
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: {{ .args | default (list .kind) | toJson }}
      workingDir: /tmp
      envFrom:
        - configMapRef: {name: {{ .root.Release.Name }}-settings}
        - secretRef: {name: {{ include "tidings.secret" .root }}}
      env:
        - name: TIDINGS_NODE
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
      ports:
        - {name: http, containerPort: 8000}
      # It waits for Kafka, and a worker for Cassandra, before it answers at all.
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 5
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 2
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources: {{- toYaml .values.resources | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: tmp
      emptyDir: {}
{{- end }}
