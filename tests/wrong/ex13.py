"""Plausible wrong solutions of exercise 13, each with its mistake as its name."""


def not_scaled(weight, A, B, alpha, r):
    return (weight.float() + B.float() @ A.float()).to(weight.dtype)


def not_divided_by_r(weight, A, B, alpha, r):
    return (weight.float() + alpha * B.float() @ A.float()).to(weight.dtype)


def r_over_alpha(weight, A, B, alpha, r):
    return (weight.float() + r / alpha * B.float() @ A.float()).to(weight.dtype)


def update_transposed(weight, A, B, alpha, r):
    return (weight.float() + alpha / r * A.T.float() @ B.T.float()).to(weight.dtype)


def update_alone(weight, A, B, alpha, r):
    return (alpha / r * B.float() @ A.float()).to(weight.dtype)


def left_in_float32(weight, A, B, alpha, r):
    return weight.float() + alpha / r * B.float() @ A.float()


def rounded_twice(weight, A, B, alpha, r):
    return weight + (alpha / r * B.float() @ A.float()).to(weight.dtype)


def all_in_the_dtype_of_the_weight(weight, A, B, alpha, r):
    return weight + alpha / r * B.to(weight.dtype) @ A.to(weight.dtype)


def product_in_the_dtype_of_the_adapter(weight, A, B, alpha, r):
    return (weight.float() + alpha / r * (B @ A).float()).to(weight.dtype)


def added_into_the_old_weight(weight, A, B, alpha, r):
    return weight.copy_(weight.float() + alpha / r * B.float() @ A.float())


WRONG = [not_scaled, not_divided_by_r, r_over_alpha, update_transposed, update_alone,
         left_in_float32, rounded_twice, all_in_the_dtype_of_the_weight,
         product_in_the_dtype_of_the_adapter, added_into_the_old_weight]  # fmt: skip
