# Two links: the cluster's service account -> jenkins-ci-role (account of the
# cluster) -> jenkins-deploy-role (another account).

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = {
      source                = "hashicorp/aws"
      version               = ">= 5.0"
      configuration_aliases = [aws.deploy]
    }
  }
}

variable "oidc_provider_arn" {
  description = "ARN of the cluster's IAM OIDC provider"
  type        = string
}

variable "namespace" {
  type    = string
  default = "jenkins"
}

variable "service_account" {
  type    = string
  default = "jenkins-serviceaccount"
}

locals {
  issuer = replace(var.oidc_provider_arn, "/^.*:oidc-provider\\//", "")
}

data "aws_iam_policy_document" "trust_irsa" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [var.oidc_provider_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["system:serviceaccount:${var.namespace}:${var.service_account}"]
    }
  }
}

resource "aws_iam_role" "ci" {
  name               = "jenkins-ci-role"
  assume_role_policy = data.aws_iam_policy_document.trust_irsa.json
  # awsauth --aws-duration may ask for this much; roles further down the chain
  # are limited to one hour by AWS whatever they say.
  max_session_duration = 43200
}

data "aws_iam_policy_document" "trust_deploy" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = [aws_iam_role.ci.arn]
    }
  }
}

resource "aws_iam_role" "deploy" {
  provider           = aws.deploy
  name               = "jenkins-deploy-role"
  assume_role_policy = data.aws_iam_policy_document.trust_deploy.json
}

data "aws_iam_policy_document" "ci" {
  statement {
    actions   = ["sts:AssumeRole"]
    resources = [aws_iam_role.deploy.arn]
  }
}

resource "aws_iam_role_policy" "ci" {
  name   = "assume-deploy"
  role   = aws_iam_role.ci.id
  policy = data.aws_iam_policy_document.ci.json
}

output "service_account_annotation" {
  value = "eks.amazonaws.com/role-arn: ${aws_iam_role.ci.arn}"
}
