# An AMI with the agent and its unit: instances start it with user-data.sh, which
# then has nothing to download.
#
#   packer init images/ec2
#   packer build -var arch=arm64 -var binary=bin/linux-arm64/jenkins-agent images/ec2
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3.0"
    }
  }
}

variable "arch" {
  type        = string
  default     = "arm64"
  description = "arm64 or x86_64"
}

variable "binary" {
  type        = string
  default     = "bin/linux-arm64/jenkins-agent"
  description = "of the same architecture"
}

variable "region" {
  type    = string
  default = "eu-west-1"
}

source "amazon-ebs" "agent" {
  region        = var.region
  instance_type = var.arch == "arm64" ? "t4g.small" : "t3.small"
  ami_name      = "jenkins-agent-${var.arch}-{{timestamp}}"
  ssh_username  = "ec2-user"

  source_ami_filter {
    owners      = ["amazon"]
    most_recent = true
    filters = {
      name         = "al2023-ami-2023.*-${var.arch}"
      architecture = var.arch
    }
  }

  # of the machine that builds, and of those that are made from the AMI
  metadata_options {
    http_tokens = "required"
  }
  imds_support = "v2.0"
}

build {
  sources = ["source.amazon-ebs.agent"]

  provisioner "file" {
    source      = var.binary
    destination = "/tmp/jenkins-agent"
  }

  provisioner "file" {
    source      = "${path.root}/jenkins-agent.service"
    destination = "/tmp/jenkins-agent.service"
  }

  provisioner "shell" {
    inline = [
      "sudo dnf install -y git git-lfs",
      "sudo useradd --system --home-dir /var/lib/jenkins-agent --shell /bin/bash jenkins",
      "sudo install -m 0755 /tmp/jenkins-agent /usr/local/bin/jenkins-agent",
      "sudo install -m 0644 /tmp/jenkins-agent.service /etc/systemd/system/jenkins-agent.service",
      "sudo systemd-analyze verify /etc/systemd/system/jenkins-agent.service",
      "/usr/local/bin/jenkins-agent -version",
    ]
  }
}
