"""Animals and things: each is a function that draws one, its foot at the origin, in metres, looking to the right."""
