import fabric.functions as fn

udf = fn.UserDataFunctions()


@udf.function()
def is_valid(amount: float) -> bool:
    return amount >= 0
