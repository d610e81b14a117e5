# A network for the functions, with access to the services that they call and to nothing else: no internet gateway, no NAT. Lambda itself sends logs, metrics and traces and polls queues and streams, all outside of this network, so
# they need no endpoint here.

locals {
  # A sixteenth of the network per zone: far more addresses than the functions' network interfaces need.
  subnets = { for place, zone in var.zones : zone => cidrsubnet(var.cidr, 4, place) }

  gateways = {
    s3       = templatefile("${path.module}/s3_endpoint.json.tftpl", { bucket_arn = var.bucket_arn })
    dynamodb = templatefile("${path.module}/dynamodb_endpoint.json.tftpl", { table_arn = var.table_arn })
  }
  interfaces = {
    sqs = templatefile("${path.module}/sqs_endpoint.json.tftpl", {
      output_queue_arn      = var.queue_arns.output
      dead_letter_queue_arn = var.queue_arns.dead_letter
    })
    states = templatefile("${path.module}/states_endpoint.json.tftpl", {
      state_machine_arn = var.state_machine_arn
      execution_arn     = var.execution_arn
      map_run_arn       = var.map_run_arn
    })
  }
}

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:it carries calls of AWS's own services only, which CloudTrail records with who and what
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true # the interface endpoints answer under the services' own names

  tags = { Name = var.name }
}

# Managed without any rule, so that a resource that is placed in it by mistake has no access to anything.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
}

resource "aws_subnet" "this" {
  for_each = local.subnets

  vpc_id                  = aws_vpc.this.id
  availability_zone       = "${var.region}${each.key}"
  cidr_block              = each.value
  map_public_ip_on_launch = false

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_route_table" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = var.name }
}

resource "aws_route_table_association" "this" {
  for_each = local.subnets

  subnet_id      = aws_subnet.this[each.key].id
  route_table_id = aws_route_table.this.id
}

resource "aws_vpc_endpoint" "gateway" {
  for_each = local.gateways

  vpc_id            = aws_vpc.this.id
  vpc_endpoint_type = "Gateway"
  service_name      = "com.amazonaws.${var.region}.${each.key}"
  route_table_ids   = [aws_route_table.this.id]
  policy            = each.value

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.interfaces

  vpc_id              = aws_vpc.this.id
  vpc_endpoint_type   = "Interface"
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  subnet_ids          = [for subnet in aws_subnet.this : subnet.id]
  security_group_ids  = [aws_security_group.endpoints.id]
  private_dns_enabled = true
  policy              = each.value

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_security_group" "functions" {
  #checkov:skip=CKV2_AWS_5:the functions are attached to it through an output of this module, which checkov does not follow
  name        = "${var.name}-functions"
  description = "Functions: out to the endpoints, in from nowhere"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "Interface endpoints: in from the functions, out to nowhere"
  vpc_id      = aws_vpc.this.id
}

resource "aws_security_group_rule" "functions_to_gateways" {
  for_each = local.gateways

  type              = "egress"
  description       = "To ${each.key}"
  security_group_id = aws_security_group.functions.id
  prefix_list_ids   = [aws_vpc_endpoint.gateway[each.key].prefix_list_id]
  protocol          = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_security_group_rule" "functions_to_endpoints" {
  type                     = "egress"
  description              = "To the interface endpoints"
  security_group_id        = aws_security_group.functions.id
  source_security_group_id = aws_security_group.endpoints.id
  protocol                 = "tcp"
  from_port                = 443
  to_port                  = 443
}

resource "aws_security_group_rule" "endpoints_from_functions" {
  type                     = "ingress"
  description              = "From the functions"
  security_group_id        = aws_security_group.endpoints.id
  source_security_group_id = aws_security_group.functions.id
  protocol                 = "tcp"
  from_port                = 443
  to_port                  = 443
}
