output "functions" {
  description = "Ids of the subnets and of the security group for the functions."
  value = {
    subnet_ids         = [for subnet in aws_subnet.this : subnet.id]
    security_group_ids = [aws_security_group.functions.id]
  }
  # A function that starts before its endpoints are reachable would fail its first calls.
  depends_on = [
    aws_route_table_association.this,
    aws_security_group_rule.endpoints_from_functions,
    aws_security_group_rule.functions_to_endpoints,
    aws_security_group_rule.functions_to_gateways,
    aws_vpc_endpoint.gateway,
    aws_vpc_endpoint.interface,
  ]
}
