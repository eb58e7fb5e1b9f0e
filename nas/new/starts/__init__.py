"""What `nas.new` writes: a module and a card a kind, with `my_name` and `MyName` where the user's name comes.

They are modules of ours, so that type checkers and tests read them as they are.
"""
