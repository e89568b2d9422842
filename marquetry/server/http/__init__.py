"""What every route stands on: the route table, bodies and answers, errors, who may call, request ids."""
