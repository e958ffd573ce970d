#!/bin/sh
# User data of an instance, or of a launch template: fetches the agent, asks for
# its secret and starts it. Amazon Linux 2023, Debian, Ubuntu.
#
# The instance's role needs ssm:GetParameter on the parameter (and kms:Decrypt
# for its key). The secret is written to a file of root alone and passed on by
# systemd (LoadCredential): no argument and no environment shows it.
set -eu
JENKINS_URL=https://jenkins.example.com/
PARAMETER=/jenkins/agents/secret # SecureString
AGENT=https://artifacts.example.com/footman/linux-$(uname -m)/jenkins-agent
AGENT_SHA256=                    # of that file; empty trusts the server

imds() {
	token=$(curl -sSf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token)
	curl -sSf -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"
}

name=$(imds instance-id)
region=$(imds placement/region)

id jenkins >/dev/null 2>&1 || useradd --system --create-home --home-dir /var/lib/jenkins-agent --shell /bin/bash jenkins
if [ ! -x /usr/local/bin/jenkins-agent ]; then # an AMI of packer.pkr.hcl has it
	curl -sSfL -o /usr/local/bin/jenkins-agent.new "$AGENT"
	if [ -n "$AGENT_SHA256" ]; then
		echo "$AGENT_SHA256  /usr/local/bin/jenkins-agent.new" | sha256sum -c -
	fi
	chmod 0755 /usr/local/bin/jenkins-agent.new
	mv /usr/local/bin/jenkins-agent.new /usr/local/bin/jenkins-agent
fi

install -d -m 0700 /etc/jenkins-agent
printf 'JENKINS_URL=%s\nJENKINS_AGENT_NAME=%s\nJENKINS_WEB_SOCKET=true\n' "$JENKINS_URL" "$name" >/etc/jenkins-agent/env
(
	umask 077
	aws ssm get-parameter --region "$region" --name "$PARAMETER" --with-decryption \
		--query Parameter.Value --output text >/etc/jenkins-agent/secret
)
systemctl daemon-reload
systemctl enable --now jenkins-agent.service
